"""A user of their own, with an empty home; a bundle; and programs to start."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import mive

__all__ = ["bundle", "home", "mive", "programs"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user for whom nothing is set."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "OFX_PLUGIN_PATH", "MIVE_BRIDGE", "MIVE_BRIDGE_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr("mive.install.places.system_folder", lambda: tmp_path / "usr" / "OFX" / "Plugins")
    return home


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this installation's programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("mive", "mive-bridge"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setattr("mive.install.places.sysconfig.get_path", lambda name: str(folder))
    return folder


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle as it is built, though of no real plugin, which this installation comes with."""
    package = tmp_path / "package"
    binary = package / "MIVE.ofx.bundle" / "Contents" / "Linux-x86-64" / "MIVE.ofx"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"\x7fELF, the first")
    monkeypatch.setattr("mive.install.sources._SHIPPED", package)
    return package / "MIVE.ofx.bundle"
