"""`mive edit` reads the files it was given and none that they name."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.commands import Run
from tests.playlists import Trap, reference_files, reference_paths

from mive.evaluate.toyworld.clip import ToyClip


@pytest.mark.skipif(not Trap.works_here(), reason="only Linux tells who opens files")
def test_playlists_references_and_addresses_are_refused(mive: Run, toy: ToyClip, bundle: Path, tmp_path: Path) -> None:
    trap = Trap(tmp_path / "secret")
    out = tmp_path / "edited.mkv"
    end = ["--edit", "1=a red ball", "--bundle", bundle, "-o", out]
    trap.opened()
    sources = [*reference_files(tmp_path, trap), *reference_paths(trap)]
    assert len(sources) >= 3 * 12
    for number, source in enumerate(sources):
        trap.opened()
        # Each in one of the places; that no place makes a difference is tested where they are opened.
        clip, *mattes = [
            (source, "--mattes", toy.mattes),
            (toy.videos[0], "--mattes", source),
            (toy.videos[0], "--matte", f"1={source}"),
        ][number % 3]
        ended = mive("edit", clip, *mattes, *end)
        assert ended.code == 3, (source, ended.err)
        assert trap.opened() == [], source
    assert not out.exists()
    trap.close()
