"""A scene as files: a clip, its ID matte, and what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mive.base.atomic import write_text
from mive.evaluate.toyworld.scene import Renderer, Scene
from mive.media import ClipInfo, open_writer
from mive.request import FrameRange

RATE = Fraction(8)
"""Frames a second; things of the toy world move slowly."""


@dataclass(frozen=True)
class ToyClip:
    """The files of a scene.

    Attributes:
        videos: as they were named.
        mattes: folder of ID mattes, one PNG a frame; thing i of the scene has the value i, from 1.
        captions: JSON with the ground and each instance's id and caption.
    """

    videos: tuple[Path, ...]
    mattes: Path
    captions: Path


def write_clip(scene: Scene, folder: Path, frames: int, videos: tuple[str, ...] = ("source.mkv",)) -> ToyClip:
    """Renders a scene into ``folder``, which is made if it is not there.

    Args:
        scene: what to render.
        folder: gets the videos, ``mattes/`` and ``captions.json``.
        frames: how many, from the scene's first.
        videos: file names; ``.mkv`` is lossless (FFV1), ``.mp4`` is H.264.

    Raises:
        OutputError: something cannot be written.
    """
    info = _info(scene, frames)
    clip = ToyClip(tuple(folder / name for name in videos), folder / "mattes", folder / "captions.json")
    with ExitStack() as stack:
        span = FrameRange(0, frames - 1)
        pictures = [stack.enter_context(open_writer(path, info, span)) for path in clip.videos]
        mattes = stack.enter_context(open_writer(clip.mattes, info, span))
        for image, ids in _render(scene, frames):
            for writer in pictures:
                writer.write(image)
            mattes.write(np.repeat(ids[..., None], 3, axis=2))
    instances = [{"id": i, "caption": t.caption} for i, t in enumerate(scene.things, start=1)]
    words = {"ground": scene.ground, "frames": frames, "instances": instances}
    write_text(clip.captions, json.dumps(words, indent=2) + "\n")
    return clip


def write_pictures(scene: Scene, video: Path, frames: int) -> None:
    """Renders the first frames of a scene into a video alone; see `write_clip`."""
    with open_writer(video, _info(scene, frames), FrameRange(0, frames - 1)) as writer:
        for image, _ in _render(scene, frames):
            writer.write(image)


def _info(scene: Scene, frames: int) -> ClipInfo:
    height, width = scene.size
    return ClipInfo(Path("toy"), width, height, frames, RATE)


def _render(scene: Scene, frames: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    renderer = Renderer(scene)
    for number in range(frames):
        frame = renderer.frame(number)
        yield frame.image, frame.ids
