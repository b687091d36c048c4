"""Where files are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from mive.places import default_cache


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("MIVE_CACHE", raising=False)
    assert default_cache() == tmp_path / "mive"
    monkeypatch.setenv("MIVE_CACHE", str(tmp_path / "mine"))
    assert default_cache() == tmp_path / "mine"
