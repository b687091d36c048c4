"""A scene on disk holds the pixels, ids and words of the scene."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mive.errors import OutputError
from mive.evaluate.toyworld import Renderer, random_scene
from mive.evaluate.toyworld.clip import write_clip
from mive.media import open_clip, open_mattes
from mive.request import FrameRange, Instance

SCENE = random_scene(20_000_002, (48, 80), count=(2, 2), scale=(0.2, 0.25), spacing=1.0)


def test_the_lossless_clip_and_its_mattes_are_what_was_rendered(tmp_path: Path) -> None:
    clip = write_clip(SCENE, tmp_path, 3)
    video = open_clip(clip.videos[0])
    instances = [Instance(id=i, caption="x") for i in (1, 2)]
    mattes = open_mattes(str(clip.mattes), instances, video.info, FrameRange(0, 2))
    renderer = Renderer(SCENE)
    for number, (image, matte) in enumerate(zip(video.read(), mattes, strict=True)):
        frame = renderer.frame(number)
        assert np.array_equal(image, frame.image)
        assert np.array_equal(matte, np.stack([frame.ids == 1, frame.ids == 2]))


def test_the_words_name_every_thing(tmp_path: Path) -> None:
    words = json.loads(write_clip(SCENE, tmp_path, 1).captions.read_text())
    assert words["ground"] == SCENE.ground
    captions = {row["id"]: row["caption"] for row in words["instances"]}
    assert captions == {i: thing.caption for i, thing in enumerate(SCENE.things, start=1)}


def test_several_videos_of_one_scene(tmp_path: Path) -> None:
    clip = write_clip(SCENE, tmp_path, 2, ("exact/a.mkv", "a.mp4"))
    exact, near = (next(open_clip(path).read()).astype(int) for path in clip.videos)
    assert 0 < np.abs(exact - near).mean() < 4


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_clip(SCENE, tmp_path / "file", 1)
