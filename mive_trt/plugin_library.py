"""The library of plugins: found, loaded, registered with TensorRT, and given kernels for what is built."""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import mive.attention
from mive_trt.flavour import Capability, Flavour, link_beside
from mive_trt.nodes import PLUGIN_VERSION

VARIABLE: Final = "MIVE_TRT_PLUGINS"
"""The environment variable that names the library's file, where it is not the installation's own."""

LIBRARY: Final = "libmive_trt_plugins.so"

_PACKAGE: Final = Path(__file__).resolve().parent

_MAKERS: Final = ("flow/triton.py", "ipr/triton.py", "launch.py", "machine_code.py", "tiles.py")
"""Of the machine code that engines keep; in MIVE's package of attention."""


def _makers_hash() -> str:
    folder = Path(mive.attention.__file__).parent
    sources = (*(folder / name for name in _MAKERS), _PACKAGE / "cubins.py")
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:8]


MARK: Final = f"+plugins{PLUGIN_VERSION}.{_makers_hash()}"
"""In the names of engines that may hold plugins, with what their machine code comes from."""

_PLACES: Final = (_PACKAGE / LIBRARY, _PACKAGE.parent / "build" / "plugins" / LIBRARY)
"""In wheels, and where the library's CMakeLists.txt says to build it."""

_TENSORRT: Final = "libtensorrt_rtx.so"
"""TensorRT for RTX's parser looks for it under this name when it meets a plugin."""

_MESSAGE: Final = 4096


class Plugins:
    """The library, registered with TensorRT for as long as the process lives.

    Args:
        library: as ctypes loaded it.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._building = threading.Lock()

    @contextmanager
    def offered(self, kernels: Mapping[tuple[str, Capability], bytes]) -> Iterator[None]:
        """Have kernels ready, by key and GPU, for an engine that is built inside the block; one at a time."""
        with self._building:
            self.failure()
            try:
                for (key, (major, minor)), packed in kernels.items():
                    size = ctypes.c_size_t(len(packed))
                    if self._library.mive_plugins_offer(key.encode(), 10 * major + minor, packed, size):
                        raise MemoryError(self.failure())
                yield
            finally:
                self._library.mive_plugins_withdraw()

    def failure(self) -> str:
        """Why a plugin failed since this was last asked; "" if none did."""
        text = ctypes.create_string_buffer(_MESSAGE)
        self._library.mive_plugins_error(text, ctypes.c_size_t(_MESSAGE))
        return text.value.decode(errors="replace")


def find_plugins(flavour: Flavour) -> tuple[Plugins | None, str]:
    """The library, registered, or None and why there is none."""
    chosen = os.environ.get(VARIABLE)
    if chosen and not Path(chosen).exists():
        return None, f"{VARIABLE} names {chosen}, which does not exist"
    file = next((place for place in ([Path(chosen)] if chosen else _PLACES) if place.exists()), None)
    if file is None:
        build = "cmake -S mive_trt/plugins -B build/plugins && cmake --build build/plugins"
        where = "on Linux for x86-64, use a wheel or build it"
        return None, f'this installation has no {LIBRARY}: {where} with "{build}"'
    return _registered(flavour, file)


@cache
def _registered(flavour: Flavour, file: Path) -> tuple[Plugins | None, str]:
    # The library looks for TensorRT in the folder that it was loaded from.
    link = link_beside(file)
    try:
        library = ctypes.CDLL(str(link))
        library.mive_plugins_version.restype = ctypes.c_char_p
        version = library.mive_plugins_version().decode()
    except (OSError, AttributeError) as error:
        return None, f"{file} cannot be loaded: {error}"
    if version != PLUGIN_VERSION:
        return None, f"{file} is of version {version} where {PLUGIN_VERSION} is needed: build it again"
    if flavour.name == "rtx" and not library.mive_plugins_reach(_TENSORRT.encode()):
        return None, f"{_TENSORRT} cannot be found by that name, and TensorRT would end this process for it"
    if flavour.trt.get_plugin_registry().load_library(str(link)) is None:
        return None, f"TensorRT does not take {file}: the log tells what it met"
    return Plugins(library), ""


@cache
def compiling_obstacle(capabilities: Sequence[Capability]) -> str:
    """What keeps kernels from being compiled for these GPUs, "" if nothing does; a tuple of them."""
    if find_spec("triton") is None:
        return "Triton is not installed: pip install triton"
    import torch

    from mive_trt.cubins import Node, pack
    from mive_trt.executor import Port
    from mive_trt.nodes import FLOW

    tokens = Port((1, 1, 4, 16), torch.float16)
    smallest = Node(FLOW, (tokens, tokens, tokens, Port((4, 2), torch.int32)))
    for major, minor in capabilities:
        try:
            pack(smallest, (major, minor))
        # The compiler's own errors are of many types.
        except Exception as error:
            return f"Triton compiles nothing for compute capability {major}.{minor}: {error}"
    return ""
