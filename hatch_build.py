"""Builds what git does not hold: the contract's Python code into every installation, compiled code into wheels."""

from __future__ import annotations

import platform
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# What is compiled asks for no newer glibc; tests/plugin/test_build.py and tests/trt/test_plugin_file.py check that.
PLUGIN_TAG = "py3-none-manylinux_2_28_x86_64"

COMPILED = {
    "the OpenFX plugin": ("plugin_bridge/ofx", "MIVE.ofx.bundle", "mive/install/MIVE.ofx.bundle"),
    "TensorRT plugins": ("mive_trt/plugins", "libmive_trt_plugins.so", "mive_trt/libmive_trt_plugins.so"),
}
"""By what it is: its sources, what CMake makes of them, and where that goes in a wheel."""


class GeneratedHook(BuildHookInterface):
    """Runs proto/generate.py, and CMake for wheels. Editable installations compile when asked to."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        generate = runpy.run_path(str(root / "proto" / "generate.py"))["generate"]
        build_data["artifacts"] += [path.relative_to(root).as_posix() for path in generate(root)]
        if version == "editable":
            return
        build_data["force_include"][str(root / "plugin_bridge" / "resolve")] = "mive/install/resolve"
        self._folder = tempfile.mkdtemp(prefix="mive-plugin-")
        for name, (sources, made, target) in COMPILED.items():
            folder = Path(self._folder) / made
            if why := build_plugin(root / sources, folder):
                self.app.display_warning(f"This wheel comes without {name}: {why}")
                continue
            build_data["force_include"][str(folder / made)] = target
            build_data["tag"] = PLUGIN_TAG
            build_data["pure_python"] = False

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            shutil.rmtree(self._folder, ignore_errors=True)


def build_plugin(sources: Path, folder: Path) -> str:
    """Builds what a folder's CMakeLists.txt makes into another; returns why not, or nothing."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return f"it cannot be built for {sys.platform} on {platform.machine()} yet"
    missing = [name for name in ("cmake", "c++") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} cannot be found"
    for command in (["cmake", "-S", str(sources), "-B", str(folder)], ["cmake", "--build", str(folder), "--parallel"]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            return f"{' '.join(command)} failed\n{done.stdout[-4000:]}"
    return ""
