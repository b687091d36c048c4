"""The plain implementation that benchmarks compare with: the same pixels, so that only the time differs."""

from __future__ import annotations

import numpy as np
from benchmarks.plain import PlainEditor

from mive.base.progress import Clock
from mive.edit import open_shot
from mive.editing.editor import Editor
from mive.editing.inversions import InversionCache
from mive.networks.bundle import load_bundle
from mive.networks.bundle_files import hash_bundle
from mive.request import EditRequest


def test_the_plain_implementation_makes_the_same_pixels(edit: EditRequest) -> None:
    shot, made = open_shot(edit), []
    for kind in (Editor, PlainEditor):
        hashes, cache = hash_bundle(shot.folder), InversionCache(None)
        editor = kind.with_bundle(edit, shot.settings, load_bundle(shot.folder), hashes, cache, Clock())
        framing = editor.frame(shot.mattes)
        made.append(np.stack(list(editor.run(shot.clip, shot.mattes, framing, lambda progress: None))).astype(int))
    source = np.stack(list(shot.clip.read(shot.frames))).astype(int)
    assert np.abs(made[0] - made[1]).max() <= 1
    assert np.abs(made[0] - source).max() > 10
