"""The bridge reads the files that a host names, and none that these name."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.bridge.conftest import BridgeProcess
from tests.bridge.editing_server import EditingServer
from tests.bridge.plugin import edit_fields
from tests.playlists import Trap, reference_files

from mive.media import ClipInfo, open_writer
from mive.request import FrameRange


@pytest.mark.skipif(not Trap.works_here(), reason="only Linux tells who opens files")
def test_playlists_and_references_lead_nowhere(bridge: BridgeProcess, tmp_path: Path) -> None:
    for folder in ("server", "inputs"):
        (tmp_path / folder).mkdir()
    good = tmp_path / "good.mkv"
    with open_writer(good, ClipInfo(good, 64, 48, 1, Fraction(24)), FrameRange(0, 0)) as writer:
        writer.write(np.full((48, 64, 3), 1, np.uint8))
    trap, plugin = Trap(tmp_path / "inputs" / "secret"), bridge.plugin()
    files = reference_files(tmp_path / "inputs", trap)
    trap.opened()
    with EditingServer(tmp_path / "server", server_paths=True) as server:
        for number, path in enumerate(files):
            # Each in one of the places; that no place makes a difference is tested where they are opened.
            named = [
                {"source": f"file {path}", "mattes": f"file {good}", "frames": "all"},
                {"source": f"file {path}", "mattes": "alpha", "frames": "all"},
                {"source": f"file {good}", "mattes": f"file {path}", "frames": "all"},
                {"source": "clip", "mattes": f"file {path}", "frames": "0-0"},
            ][number % 4]
            fields = edit_fields(**named)
            plugin.order(fields, server=server.address)
            if named["source"] == "clip":
                plugin.put(fields, 0, source=np.full((48, 64, 4), 255, np.uint8))
            state = plugin.finish(fields)
            assert state["state"] == "failed", (path, state)
            assert path.name in state["text"]
            assert trap.opened() == [], path
    trap.close()
