"""What operators copy: the systemd unit fits the server's defaults, and systemd understands it."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from mive.server.config import ServerConfig

UNIT = Path(__file__).resolve().parents[2] / "deploy/mive-server.service"


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
