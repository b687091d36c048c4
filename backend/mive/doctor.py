"""Facts about this machine and installation, gathered without printing and without torch.

``mive doctor`` shows them. Every probe survives a package that is missing or broken.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Final

from mive import __version__
from mive.base.places import default_cache
from mive.engines.processor import cpu_bf16, cpu_name, physical_memory
from mive.errors import BundleError
from mive.networks.bundle_files import BUNDLES_FOLDER, PARTS, REINSTALL, read_config

_BASE: Final = "pip install mive"
_SERVER: Final = 'pip install "mive[server]"'
_PACKAGES: Final = (
    ("numpy", "numpy", _BASE),
    ("pydantic", "pydantic", _BASE),
    ("typer", "typer", _BASE),
    ("rich", "rich", _BASE),
    ("av", "av", _BASE),
    ("openimageio", "OpenImageIO", _BASE),
    ("opencv-python-headless", "cv2", _BASE),
    ("torch", "torch", _SERVER),
    ("diffusers", "diffusers", _SERVER),
    ("transformers", "transformers", _SERVER),
    ("safetensors", "safetensors", _SERVER),
)
_ENCODERS: Final = (
    ("libx264", "H.264"),
    ("libx265", "H.265"),
    ("prores_ks", "ProRes"),
    ("ffv1", "FFV1"),
)


@dataclass(frozen=True)
class Package:
    """A distribution MIVE uses; ``version`` is ``None`` where it is not installed."""

    name: str
    version: str | None
    fault: str
    """Why it is unusable although installed, else empty."""
    fix: str
    """How to get it, empty where it works."""


@dataclass(frozen=True)
class Device:
    """A device torch can run on. Memory in bytes, ``None`` where unknown."""

    name: str
    description: str
    memory: int | None
    bf16: bool | None
    """Whether bfloat16 runs in hardware; ``None`` where that cannot be told."""
    slow: str = ""
    """Why a GPU runs without MIVE's attention kernels, empty where it has them or is no GPU."""


@dataclass(frozen=True)
class Bundle:
    """A model bundle shipped in the package."""

    name: str
    path: str
    parts: dict[str, int]
    """Bytes on disk of each part that is there."""
    elsewhere: dict[str, str]
    """Where the other parts come from, folders or hub ids, as its bundle.json says."""
    missing: tuple[str, ...]
    """Files that should be there, by path inside the bundle; ``*`` stands for any name."""
    fault: str
    """What is wrong with its bundle.json, else empty."""
    fix: str


@dataclass(frozen=True)
class Encoder:
    """A video encoder of the FFmpeg inside PyAV."""

    name: str
    format: str
    present: bool


@dataclass(frozen=True)
class Cache:
    """The folder that keeps inversions between edits; it need not exist yet."""

    path: str
    free: int
    """Bytes free on its disk."""
    writable: bool


@dataclass(frozen=True)
class Findings:
    """Everything :func:`examine` found."""

    mive: str
    python: str
    python_supported: bool
    executable: str
    system: str
    cores: int
    cpu_bf16: bool | None
    packages: tuple[Package, ...]
    devices: tuple[Device, ...]
    bundles: tuple[Bundle, ...]
    encoders: tuple[Encoder, ...]
    cache: Cache

    def to_dict(self) -> dict[str, Any]:
        """What was found, for machines."""
        return asdict(self)

    def problems(self) -> tuple[tuple[str, str], ...]:
        """What stands in the way of editing on this machine, each with its fix."""
        found = []
        if not self.python_supported:
            found.append((f"Python {self.python} is too old", "Install Python 3.11 or newer"))
        for package in self.packages:
            if package.fix:
                state = f"does not work: {package.fault}" if package.fault else "is not installed"
                found.append((f"{package.name} {state}", package.fix))
        for bundle in self.bundles:
            if bundle.fault:
                found.append((bundle.fault, f"Reinstall MIVE: {REINSTALL}"))
            if not bundle.parts and not bundle.elsewhere:
                found.append((f"the bundle {bundle.name} is not in {bundle.path}", bundle.fix))
            elif bundle.missing:
                files = ", ".join(bundle.missing)
                found.append((f"the bundle {bundle.name} lacks {files}", bundle.fix))
        if not self.cache.writable:
            fix = "Set MIVE_CACHE to a folder that may be written"
            found.append((f"the cache folder {self.cache.path} may not be written", fix))
        return tuple(found)


def examine(cache: Path | None = None, bundles: Path = BUNDLES_FOLDER) -> Findings:
    """Gathers all facts; takes a second or two where torch is installed.

    Args:
        cache: the cache folder, by default :func:`default_cache`.
        bundles: the folder of the bundles that ship with MIVE.
    """
    return Findings(
        mive=__version__,
        python=platform.python_version(),
        python_supported=sys.version_info >= (3, 11),
        executable=sys.executable,
        system=platform.platform(),
        cores=os.cpu_count() or 1,
        cpu_bf16=cpu_bf16(),
        packages=tuple(find_package(*package) for package in _PACKAGES),
        devices=find_devices(),
        bundles=find_bundles(bundles),
        encoders=find_encoders(),
        cache=examine_cache(cache or default_cache()),
    )


def find_package(name: str, module: str, fix: str) -> Package:
    """Whether the distribution ``name`` is installed and its ``module`` can be imported."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Package(name, None, "", fix)
    try:
        import_module(module)
    except Exception as error:  # a broken binary wheel raises whatever it likes
        return Package(name, version, str(error), f"pip install --force-reinstall {name}")
    return Package(name, version, "", "")


def find_devices() -> tuple[Device, ...]:
    """The devices torch sees, the processor last; none where torch is missing or broken."""
    try:
        import torch

        from mive.attention.kernels import obstacle
    except Exception:  # as above; find_package reports it
        return ()
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        # Compute capability 8 (Ampere) is the first with bfloat16 units.
        bf16 = properties.major >= 8
        slow = obstacle(torch.device("cuda", index))
        found.append(Device(f"cuda:{index}", properties.name, properties.total_memory, bf16, slow))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU", None, None))
    found.append(Device("cpu", cpu_name(), physical_memory(), cpu_bf16()))
    return tuple(found)


def find_bundles(folder: Path = BUNDLES_FOLDER) -> tuple[Bundle, ...]:
    """The shipped bundles: always ``tiny``, whether it is there or not, and any beside it."""
    names = {"tiny", *(path.parent.name for path in folder.glob("*/bundle.json"))}
    return tuple(_examine_bundle(folder / name) for name in sorted(names))


def find_encoders() -> tuple[Encoder, ...]:
    """Which of the encoders MIVE writes with PyAV has; none of them where PyAV is missing."""
    try:
        from av.codec import Codec
    except Exception:  # find_package reports it
        return tuple(Encoder(name, text, False) for name, text in _ENCODERS)

    def present(name: str) -> bool:
        try:
            Codec(name, "w")
        except ValueError:
            return False
        return True

    return tuple(Encoder(name, text, present(name)) for name, text in _ENCODERS)


def examine_cache(path: Path) -> Cache:
    """Free space and permissions at ``path``, or where it would be made."""
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    return Cache(str(path), shutil.disk_usage(existing).free, writable)


def _examine_bundle(folder: Path) -> Bundle:
    parts, missing = {}, []
    elsewhere, fault = {}, ""
    if not (folder / "bundle.json").is_file():
        missing.append("bundle.json")
    try:
        config = read_config(folder)
    except BundleError as error:
        fault = error.what
    else:
        elsewhere = {part: config.base for part in PARTS if config.base} | config.parts
    for part, patterns in PARTS.items():
        if (folder / part).is_dir():
            files = [path for path in (folder / part).rglob("*") if path.is_file()]
            parts[part] = sum(path.stat().st_size for path in files)
            elsewhere.pop(part, None)
        if part not in elsewhere:
            missing += [f"{part}/{p}" for p in patterns if not any((folder / part).glob(p))]
    fix = REINSTALL if missing else ""
    return Bundle(folder.name, str(folder), parts, elsewhere, tuple(missing), fault, fix)
