"""TensorRT as it is installed: the full one, or TensorRT for RTX, which builds engines on machines without a GPU."""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import logging
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from mive.base.atomic import file_aside
from mive.base.places import default_cache
from mive.errors import EngineError

log = logging.getLogger(__name__)

Capability = tuple[int, int]
"""Of a GPU: (8, 9) is Ada."""

_LIBRARIES: Final = "onnxruntime_ep_nv_tensorrt_rtx"
"""The package of onnxruntime that brings TensorRT for RTX's libraries; its bindings come without."""

_NAMES: Final = ("libtensorrt_rtx.so", "libtensorrt_onnxparser_rtx.so")


class Flavour(NamedTuple):
    """A TensorRT.

    Attributes:
        name: "rtx" is TensorRT for RTX.
        trt: its Python module.
        logger: hands its messages to Python's logging; everything of TensorRT's wants one.
    """

    name: Literal["tensorrt", "rtx"]
    version: str
    trt: Any
    logger: Any

    def __str__(self) -> str:
        return f"{'TensorRT for RTX' if self.name == 'rtx' else 'TensorRT'} {self.version}"


@cache
def installed() -> Flavour:
    """The TensorRT of this installation, the full one before the other.

    Raises:
        EngineError: there is none.
    """
    if find_spec("tensorrt"):
        return _flavour("tensorrt", importlib.import_module("tensorrt"))
    if find_spec("tensorrt_rtx"):
        return _flavour("rtx", importlib.import_module("tensorrt_rtx"))
    if find_spec("tensorrt_rtx_bindings") and find_spec(_LIBRARIES):
        _load_libraries()
        return _flavour("rtx", importlib.import_module("tensorrt_rtx_bindings"))
    raise EngineError(
        "TensorRT is not installed",
        expected="TensorRT for RTX, or full TensorRT for data centres' GPUs",
        fix='pip install "mive[server,trt]", or use --engine torch',
    )


def capability_names(flavour: Flavour) -> dict[Capability, str]:
    """The GPUs that can be built for without having one, and TensorRT's names for them; none with full TensorRT."""
    if flavour.name == "tensorrt":
        return {}
    names = [name for name in flavour.trt.ComputeCapability.__members__ if name.startswith("SM")]
    # Programs multiply float32 matrices, which 7.5 cannot in this TensorRT.
    return {(int(name[2:-1]), int(name[-1])): name for name in names if int(name[2:-1]) >= 8}


def _flavour(name: Literal["tensorrt", "rtx"], trt: Any) -> Flavour:
    levels: dict[Any, Callable[[str], None]] = {
        trt.ILogger.INTERNAL_ERROR: log.error,
        trt.ILogger.ERROR: log.error,
        # It warns of every node of an inlined body.
        trt.ILogger.WARNING: log.info,
    }

    class Logger(trt.ILogger):  # type: ignore[misc]
        def log(self, severity: Any, message: str) -> None:
            levels.get(severity, log.debug)(message)

    return Flavour(name, str(trt.__version__), trt, Logger())


def links_folder() -> Path:
    """A folder of links to TensorRT for RTX's libraries, where onnxruntime's package brought them; empty elsewhere.

    Each installation has its own.
    """
    places = [Path(place) for place in importlib.import_module(_LIBRARIES).__path__] if find_spec(_LIBRARIES) else []
    folder = default_cache() / "tensorrt" / _short_hash(places)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _NAMES:
        for real in (file for place in places for file in place.glob(f"{name}.*.*")):
            for link in (folder / name, folder / f"{name}.1"):
                _link(real, link)
    return folder


def link_beside(file: Path) -> Path:
    """A link to a library among those of `links_folder`; each file has its own."""
    link = links_folder() / f"{_short_hash([file.resolve()])}-{file.name}"
    _link(file, link)
    return link


def _short_hash(paths: Sequence[Path]) -> str:
    return hashlib.sha256(repr(paths).encode()).hexdigest()[:12]


def _link(real: Path, link: Path) -> None:
    """Have a link lead to a file; other processes do the same at the same time."""
    if link.resolve() != real.resolve():
        with file_aside(link, durable=False) as aside:
            aside.symlink_to(real.resolve())


def _load_libraries() -> None:
    """Load them under the names that the bindings and the libraries themselves look for."""
    folder = links_folder()
    for name in _NAMES:
        for link in (folder / f"{name}.1", folder / name):
            ctypes.CDLL(str(link), mode=ctypes.RTLD_GLOBAL)
