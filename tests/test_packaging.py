"""What an installation holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mive

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_wheel_holds_the_whole_package_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path)]
    subprocess.run([*command, str(REPOSITORY)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    packages = (REPOSITORY / "backend" / "mive", REPOSITORY / "mive_trt", REPOSITORY / "plugin_bridge" / "mive_bridge")
    compiled = REPOSITORY / "mive_trt" / "plugins"
    expected = {
        path.relative_to(package.parent).as_posix()
        for package in packages
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and compiled not in path.parents
    }
    script = REPOSITORY / "plugin_bridge" / "resolve"
    expected |= {f"mive/install/resolve/{path.relative_to(script).as_posix()}" for path in script.rglob("*.py")}
    if shutil.which("cmake") and shutil.which("c++"):
        expected.add("mive/install/MIVE.ofx.bundle/Contents/Linux-x86-64/MIVE.ofx")
        expected.add("mive_trt/libmive_trt_plugins.so")
        assert wheel.name.endswith("-py3-none-manylinux_2_28_x86_64.whl")
    metadata = f"mive-{mive.__version__}.dist-info"
    assert {name for name in names if not name.startswith(metadata)} == expected
    assert {"mive/py.typed", f"{metadata}/licenses/NOTICE"} <= names
