"""The plugin and the script that are to be installed: from the wheel, or from a checkout, which builds the plugin."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mive.errors import MiveError
from mive.install.places import BUNDLE

_SHIPPED: Final = Path(__file__).parent
_CHECKOUT: Final = _SHIPPED.parents[2]
_LOG: Final = "build.log"


def find_bundle(say: Callable[[str], None]) -> Path:
    """The plugin's bundle. A checkout builds it, or what has changed of it, with CMake.

    Args:
        say: told before a build that takes long.

    Raises:
        MiveError: this installation has none and cannot build it.
    """
    if (shipped := _SHIPPED / BUNDLE).is_dir():
        return shipped
    sources = _CHECKOUT / "plugin_bridge" / "ofx"
    if not (sources / "CMakeLists.txt").is_file():
        raise MiveError(
            f"this installation of MIVE came without the plugin for {sys.platform}",
            expected=f"{shipped}, which wheels for Linux x86-64 hold",
            fix="Get CMake and a C++ compiler (sudo apt-get install cmake g++), then "
            "pip install --force-reinstall --no-deps --no-binary mive mive",
        )
    return build(sources, _CHECKOUT / "build" / "ofx", say)


def build(sources: Path, folder: Path, say: Callable[[str], None]) -> Path:
    """Builds the plugin, and returns its bundle.

    Raises:
        MiveError: a tool is missing, or it does not compile.
    """
    missing = [name for name in ("cmake", "c++") if shutil.which(name) is None]
    if missing:
        raise MiveError(
            f"the plugin has to be built, and {' and '.join(missing)} cannot be found",
            expected="CMake and a C++ compiler",
            fix="sudo apt-get install cmake g++",
        )
    if not (folder / BUNDLE).is_dir():
        say("Building the plugin, once; this takes about a minute")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / _LOG
    with log.open("wb") as output:
        for command in (["cmake", "-S", str(sources), "-B", str(folder)], ["cmake", "--build", str(folder)]):
            if subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode:
                raise MiveError(
                    f"the plugin in {sources} cannot be built",
                    expected="GCC or Clang with C++17, on Linux x86-64",
                    fix=f"{log} says what went wrong",
                )
    return folder / BUNDLE


def find_script() -> Path:
    """The folder of the script for DaVinci Resolve.

    Raises:
        MiveError: it is missing from this installation.
    """
    for folder in (_SHIPPED / "resolve", _CHECKOUT / "plugin_bridge" / "resolve"):
        if (folder / "MIVE.py").is_file():
            return folder
    raise MiveError(
        "this installation of MIVE came without the script for DaVinci Resolve",
        expected=f"{_SHIPPED / 'resolve'}",
        fix="pip install --force-reinstall --no-deps mive",
    )
