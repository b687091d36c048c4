"""Where a model bundle and its parts lie: shipped folders, folders of the user, the hub.

A bundle is a folder of the diffusers Stable Diffusion layout with a part in each subfolder of
:data:`PARTS`. A ``bundle.json`` beside them is optional and may name parts that lie elsewhere.
Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import Field, field_validator

from mive.base.validation import Model, did_you_mean, reject
from mive.errors import BundleError, RequestError
from mive.networks.bundle_hub import HUB_ID, download, hub_snapshot
from mive.settings import Pixels

BUNDLES_FOLDER: Final = Path(__file__).parents[1] / "bundles"
"""The bundles that ship with MIVE."""

REINSTALL: Final = "pip install --force-reinstall --no-deps mive"
"""What brings a damaged shipped bundle back."""

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "unet": ("config.json", "*.safetensors"),
    "vae": ("config.json", "*.safetensors"),
    "text_encoder": ("config.json", "*.safetensors"),
    "controlnet": ("config.json", "*.safetensors"),
    "depth": ("config.json", "*.safetensors"),
    "clip": ("config.json", "*.safetensors"),
    "tokenizer": ("tokenizer_config.json",),
    "scheduler": ("scheduler_config.json",),
}
"""Each part of a bundle: a configuration, and weights where the part is a network."""

EDIT_PARTS: Final = tuple(part for part in PARTS if part != "clip")
"""What an edit needs; only scores need CLIP."""

_ADDED: Final = ("controlnet", "depth", "clip")
"""What MIVE needs besides what a plain Stable Diffusion folder holds."""

_Read = TypeVar("_Read", bound=Model)


class BundleConfig(Model):
    """A bundle's ``bundle.json``. What the networks' own configurations say is not here.

    A location is a folder (absolute, or relative to the bundle's) or a hub id "owner/name",
    optionally with a subfolder, "owner/name/subfolder".
    """

    name: str = Field(default="", description="the bundle's name, for people")
    description: str = Field(default="", description="what the bundle is good for")
    model_size: Pixels | None = Field(
        default=None,
        description="the short side of the frames the model sees, in pixels",
    )
    defaults: dict[str, Any] = Field(default_factory=dict, description="default settings, under their JSON names")
    base: str | None = Field(default=None, description="the location of all parts that lie neither here nor in parts")
    parts: dict[str, str] = Field(default_factory=dict, description="the locations of parts that lie elsewhere")

    @field_validator("parts")
    @classmethod
    def _known_parts(cls, parts: dict[str, str]) -> dict[str, str]:
        for part in parts:
            if part not in PARTS:
                reject(
                    f'there is no part "{part}"',
                    expected=f"one of {', '.join(PARTS)}",
                    fix=did_you_mean(part, tuple(PARTS)) or "Remove it",
                )
        return parts


def find_bundle(name: str | Path) -> Path:
    """The folder of a bundle; downloads it if ``name`` is a hub id that is not yet here.

    Args:
        name: a shipped bundle ("tiny", "sd15"), a folder, or a hub id "owner/name".

    Raises:
        BundleError: there is none of that name, it is no bundle, or it cannot be downloaded.
    """
    shipped = sorted({"tiny", *(path.parent.name for path in BUNDLES_FOLDER.glob("*/bundle.json"))})
    if str(name) in shipped:
        folder = BUNDLES_FOLDER / name
        if not folder.is_dir():
            raise BundleError(
                f"the bundle {name} is not in {folder}",
                expected="the folder that ships with MIVE",
                fix=f"Reinstall MIVE: {REINSTALL}",
            )
        return folder
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any((folder / entry).exists() for entry in ("bundle.json", "unet")):
            raise BundleError(
                f"{folder} is not a model bundle",
                expected="a folder of the diffusers layout, with unet/, vae/ and so on",
                fix="Check the path of the bundle",
            )
        return folder.absolute()
    if folder.is_file():
        raise BundleError(
            f"{folder} is a file",
            expected="a folder of the diffusers layout, with unet/, vae/ and so on",
            fix="Convert a single-file checkpoint with diffusers: StableDiffusionPipeline"
            f'.from_single_file("{folder}").save_pretrained(FOLDER)',
        )
    if HUB_ID.fullmatch(str(name)):
        return download(str(name), f"Copy it here by hand and name its folder instead of {name}")
    raise BundleError(
        f'there is no bundle "{name}"',
        expected=f'{", ".join(shipped)}, a folder, or a hub id "owner/name"',
        fix=did_you_mean(name, shipped) or "Check the name or path of the bundle",
    )


def find_part(folder: Path, part: str) -> Path:
    """The folder of one part of the bundle in ``folder``; downloads it if it is on the hub.

    The location that bundle.json names for it comes first, then the bundle's own subfolder, then
    bundle.json's base. A plain Stable Diffusion folder or base has no ControlNet, depth estimator
    and CLIP: those are then the ones of the shipped bundle ``sd15``.

    Raises:
        BundleError: the part is not there.
    """
    config = read_config(folder)
    if part in config.parts:
        return _part_at(config.parts[part], folder, part)
    own = folder / part
    if own.is_dir():
        return own
    if config.base is not None:
        based = _root(config.base, folder, '"base": "FOLDER"') / part
        if based.is_dir():
            return based
    if part in _ADDED and (config.base is not None or not (folder / "bundle.json").exists()):
        return _part_at(read_config(BUNDLES_FOLDER / "sd15").parts[part], folder, part)
    raise BundleError(
        f"the bundle's part {own} is missing",
        expected=f"a folder with {' and '.join(PARTS[part])}",
        fix=how_to_get(own),
    )


def read_config(folder: Path) -> BundleConfig:
    """What ``bundle.json`` says; nothing at all where there is none.

    Raises:
        BundleError: it cannot be read, or says what makes no sense.
    """
    path = folder / "bundle.json"
    return read_as(BundleConfig, path) if path.exists() else BundleConfig()


def hash_bundle(folder: Path) -> dict[str, str]:
    """SHA-256 (hex) of every file of the parts that an edit needs, wherever they lie, as "unet/config.json".

    Raises:
        BundleError: a part is missing, or a file cannot be read.
    """
    return {
        f"{part}/{file}": digest
        for part in EDIT_PARTS
        for file, digest in bundle_hashes(find_part(folder, part)).items()
    }


def how_to_get(path: Path) -> str:
    """What to do about a missing or damaged file or folder of a bundle."""
    if BUNDLES_FOLDER in path.parents:
        return f"Reinstall MIVE: {REINSTALL}"
    if snapshot := hub_snapshot(path):
        return f"Delete {snapshot} and run again with a network, to download it again"
    return (
        f"Copy {path} again from where the model came from, or name another location for the "
        'part under "parts" in bundle.json'
    )


def read_as(model: type[_Read], path: Path) -> _Read:
    """A JSON file as a validated object.

    Raises:
        BundleError: the file is missing, broken, or a field is wrong.
    """
    try:
        return model.from_json(_read(path))
    except RequestError as error:
        what = f"{error.field}: {error.what}" if error.field else error.what
        raise BundleError(
            f"{path} is wrong: {what}",
            expected=error.expected,
            fix=f"{error.fix.rstrip('.')}. Or: {how_to_get(path)}",
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object.

    Raises:
        BundleError: the file is missing or holds no JSON object.
    """
    try:
        value = json.loads(_read(path))
    except ValueError as error:
        raise BundleError(
            f"{path} is not valid JSON: {error}", expected="a JSON object", fix=how_to_get(path)
        ) from error
    if not isinstance(value, dict):
        raise BundleError(f"{path} holds no JSON object", expected="a JSON object", fix=how_to_get(path))
    return value


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error.strerror}",
            expected="the part's configuration",
            fix=how_to_get(path),
        ) from error


def _part_at(location: str, folder: Path, part: str) -> Path:
    """The part at a location: a subfolder of its name there, or the place itself."""
    root = _root(location, folder, f'"parts": {{"{part}": "FOLDER"}}')
    return root / part if (root / part).is_dir() else root


def _root(location: str, folder: Path, entry: str) -> Path:
    """The folder that a location of bundle.json means; ``entry`` is how to name another there."""
    path = folder / Path(location).expanduser()
    if path.is_dir():
        return path
    shipped = BUNDLES_FOLDER in folder.parents
    config = "the bundle.json of a bundle folder of your own" if shipped else folder / "bundle.json"
    by_hand = f"Copy it here by hand and write {entry} into {config}"
    if HUB_ID.fullmatch(location):
        return download(location, by_hand)
    raise BundleError(
        f"{folder / 'bundle.json'} names {location}, but there is no folder {path}",
        expected='a folder, or a hub id "owner/name"',
        fix=by_hand,
    )


def bundle_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 (hex) of every file of a bundle, by its path inside ``folder`` with ``/``.

    Raises:
        BundleError: a file cannot be read, or there is none.
    """
    hashes = {}
    try:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256")
                hashes[path.relative_to(folder).as_posix()] = digest.hexdigest()
    except OSError as error:
        raise BundleError(
            f"{error.filename or folder} cannot be read: {error.strerror}",
            expected="readable bundle files",
            fix="Check the file's permissions, or get the bundle again",
        ) from error
    if not hashes:
        raise BundleError(
            f"there are no files in {folder}",
            expected="the folder of a model bundle",
            fix="Check the path of the bundle",
        )
    return hashes
