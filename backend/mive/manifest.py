"""The manifest: what was edited with what, so that the same frames can be made again."""

from __future__ import annotations

import contextlib
import functools
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, JsonValue

from mive import __version__
from mive.base.atomic import output_errors, write_whole
from mive.base.validation import Model
from mive.errors import RequestError
from mive.request import EditRequest, FrameRange, ResolvedSettings
from mive.settings import ChosenEngine, ChosenPrecision

PACKAGES: Final = (
    "av",
    "diffusers",
    "numpy",
    "opencv-python-headless",
    "openimageio",
    "pydantic",
    "safetensors",
    "torch",
    "transformers",
)
"""Distributions whose versions can change the frames of an edit."""


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The versions of those distributions that are installed."""
    found = ((name, _version(name)) for name in names)
    return {name: version for name, version in found if version is not None}


@functools.cache
def _version(name: str) -> str | None:
    """Looked up once: it takes a millisecond, and what is loaded stays what it is."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


class BundleRecord(Model):
    """The model bundle an edit was made with."""

    name: str = Field(description="the bundle's name, folder or hub id")
    files: dict[str, str] = Field(description="each file's SHA-256, by path inside the bundle")


class Manifest(Model):
    """Everything that decided an edit's frames, and what came of it.

    Hashes are SHA-256 in hex. ``settings`` are those the edit ran with, nothing left open.
    """

    manifest: Literal[1] = Field(default=1, description="the manifest format's version; a newer one needs a newer MIVE")
    mive: str = Field(default=__version__, description="MIVE's version")
    created: datetime = Field(default_factory=lambda: datetime.now(UTC), description="when the edit finished")
    request: EditRequest = Field(description="the request as it was asked")
    settings: ResolvedSettings = Field(description="the settings with nothing left open")
    frames: FrameRange = Field(description="the frames that were edited")
    views: tuple[dict[str, JsonValue], ...] = Field(
        default=(), description='what the model saw of them, as "mive frame --json" lists it'
    )
    source_hash: str = Field(description="the hash of the source's decoded frames")
    matte_hashes: dict[str, str] = Field(description="each matte's hash, by its path")
    bundle: BundleRecord = Field(description="the model bundle")
    device: str = Field(description="the device the networks ran on")
    engine: ChosenEngine = Field(default="torch", description="the engine that ran the networks")
    precision: ChosenPrecision = Field(description="the precision the networks ran in")
    scales: str = Field(default="", description="the hash of the scales of quantised programs; empty without")
    plan: dict[str, int] = Field(description="how many steps of each kind the plan has")
    seconds: dict[str, float] = Field(description="how long each stage took, in seconds")
    outputs: tuple[str, ...] = Field(description="the paths that were written")
    frames_hash: str | None = Field(default=None, description="the hash of the edited frames, before encoding")
    warnings: tuple[str, ...] = Field(default=(), description="what the user should know, as sentences")
    packages: dict[str, str] = Field(default_factory=package_versions, description="the packages' versions")
    python: str = Field(default_factory=platform.python_version, description="Python's version")
    system: str = Field(default_factory=platform.platform, description="the operating system")

    def rerender_request(self) -> EditRequest:
        """The request that makes the same frames again.

        It is the original with all that was open then (defaults of the preset and bundle, the
        frame range, device and precision) set to what was used.
        """
        used = self.settings.model_dump()
        used.update(device=self.device, precision=self.precision)
        values = self.request.model_dump()
        return EditRequest(**{**values, "frames": self.frames, "settings": used})


def manifest_path(out: Path) -> Path:
    """Where the manifest of an output belongs.

    ``shot.mov`` has ``shot.mov.manifest.json`` beside it; a folder of images (a path without a
    suffix, or a folder that exists) holds its ``manifest.json``.
    """
    if out.is_dir() or not out.suffix:
        return out / "manifest.json"
    return out.with_name(f"{out.name}.manifest.json")


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Writes the manifest whole or not at all.

    Raises:
        OutputError: the disk is full, or the folder is missing or may not be written.
    """
    with output_errors(path):
        write_whole(path, (manifest.to_json().encode(),))


def read_manifest(path: Path) -> Manifest:
    """Reads what :func:`write_manifest` wrote.

    Raises:
        RequestError: there is no such file, or it is no manifest.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RequestError(
            f"the manifest {path} cannot be read: {error.strerror}",
            expected="a .manifest.json file that MIVE wrote beside its output",
            fix="Check the path",
        ) from error
    return Manifest.from_json(text)
