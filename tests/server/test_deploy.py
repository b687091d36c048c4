"""What operators copy: the systemd unit fits the server's defaults, and the container is built of all that it needs."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mive.server.config import ServerConfig

REPOSITORY = Path(__file__).resolve().parents[2]
UNIT = REPOSITORY / "deploy/mive-server.service"
CONTAINERFILE = REPOSITORY / "deploy/Containerfile"


def test_the_unit_waits_for_the_drain_and_lets_workers_be_drained_by_their_server() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[method-assign, assignment]
    unit.read(UNIT)
    service = unit["Service"]
    assert float(service["TimeoutStopSec"]) >= ServerConfig().drain_seconds + 15
    assert service["KillMode"] == "mixed"
    assert (service["User"], service["UMask"], service["NoNewPrivileges"]) == ("mive", "0077", "yes")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/mive/bin/mive-server", "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_wheel_of_what_the_container_copies_is_that_of_the_whole_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither wheel holds compiled code, as in the container, whose image has no compiler."""
    monkeypatch.setenv("PATH", str(tmp_path))
    copy_into(tmp_path / "src")
    assert wheel_of(tmp_path / "src", tmp_path / "copied") == wheel_of(REPOSITORY, tmp_path / "whole")


def test_what_the_container_mounts_is_there() -> None:
    mounted = re.findall(r"--mount=type=bind,source=([^,]+)", CONTAINERFILE.read_text())
    assert mounted == ["constraints.txt"]
    assert all((REPOSITORY / path).exists() for path in mounted)


def copy_into(folder: Path) -> None:
    """Does to a folder what the Containerfile's COPY lines do to the first stage's working folder."""
    folder.mkdir()
    for line in re.findall(r"^COPY (?!--)(.+)$", CONTAINERFILE.read_text(), re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            if (REPOSITORY / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(REPOSITORY / source, folder / target, ignore=ignored)
            else:
                shutil.copy(REPOSITORY / source, folder / target)


def wheel_of(folder: Path, out: Path) -> set[str]:
    """Names of what the wheel holds that is built of a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    subprocess.run(command, cwd=folder, check=True)
    (wheel,) = out.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())
