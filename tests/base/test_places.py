"""Where files are kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mive.base.places import default_cache, socket_path


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("MIVE_CACHE", raising=False)
    assert default_cache() == tmp_path / "mive"
    monkeypatch.setenv("MIVE_CACHE", str(tmp_path / "mine"))
    assert default_cache() == tmp_path / "mine"


def test_where_plugin_and_bridge_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIVE_BRIDGE_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert socket_path() == Path("/run/user/7/mive/bridge.sock")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert socket_path() == Path(f"/tmp/mive-{os.geteuid()}/bridge.sock")
    monkeypatch.setenv("MIVE_BRIDGE_SOCKET", "/elsewhere/b.sock")
    assert socket_path() == Path("/elsewhere/b.sock")
