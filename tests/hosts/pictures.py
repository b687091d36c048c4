"""Draws docs/tutorial/timeline.jpg: source, mattes, and what an unmodified melt plays back after Analyse.

::

    PYTHONPATH=backend:plugin_bridge:. python tests/hosts/pictures.py docs/tutorial  # as root, see tests/hosts/melt.py

Everything is real: the plugin, the bridge, a server on this machine and the tiny model.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from tests.bridge.conftest import BridgeProcess
from tests.hosts.link import Pixels
from tests.hosts.melt import Melt, install
from tests.plugin.chain import Shot, make_shot
from tests.plugin.conftest import REPOSITORY, build_plugin
from tests.server.served import real

from mive.evaluate.sheet import contact_sheet

FRAMES = 6
LARGEST = 300_000
"""Bytes of the picture."""


def main(folder: Path) -> None:
    melt = install(REPOSITORY / "build" / "melt")
    melt.install_plugin(build_plugin(REPOSITORY / "build" / "pictures").parents[2])
    place = melt.new_folder()
    try:
        shot = make_shot(place / "shot", FRAMES, things=3)
        sheet = _sheet(shot, _played_back(melt, place, shot))
    finally:
        shutil.rmtree(place)
    done, data = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    assert done
    assert data.size <= LARGEST
    (folder / "timeline.jpg").write_bytes(data.tobytes())


def _played_back(melt: Melt, place: Path, shot: Shot) -> Pixels:
    (place / "editor").mkdir()
    with (
        tempfile.TemporaryDirectory() as data,
        closing(real(Path(data) / "data", "--bundle", "tiny").ready()) as server,
        closing(BridgeProcess(place / "editor").start()) as editor,
    ):
        edit = {
            "captions": shot.captions, "mattes": shot.mattes, "frameRange": f"0-{FRAMES - 1}",
            "server": server.address, "bridge": editor.socket,
        }  # fmt: skip
        melt.play(shot.clip, mode="Analyse", **edit)
        shown, said = melt.play(shot.clip, mode="Playback", onMiss="Wait", **edit)
        assert "MIVE shows the source." not in said, said
        return shown


def _sheet(shot: Shot, shown: Pixels) -> Pixels:
    mattes = [np.stack([ids == each.id for each in shot.instances]).astype(np.float32) for ids in shot.ids]
    legend = [f"{each.id}: {each.source_caption} -> {each.caption}" for each in shot.instances]
    return contact_sheet(shot.frames, mattes, shown, legend)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
