"""The whole chain on a small clip: the real bridge, the real server, the real tiny model, and what it should show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from tests.hosts.link import Pixels
from tests.hosts.ofx_host import Content

from mive.edit import run_edit
from mive.evaluate.demo import demo_instances, demo_scene
from mive.evaluate.toyworld.clip import write_clip
from mive.media import ClipInfo, open_clip
from mive.media.raw import write_raw
from mive.request import EditRequest, FrameRange, Instance, Settings

FRAMES = 3
SEED = 3
SETTINGS = Settings(preset="draft", seed=SEED)

Masks = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Shot:
    """The first frames of the demo's scene, and what becomes of its things.

    Attributes:
        clip, encoded: lossless, and H.264.
        mattes: folder of ID mattes.
        frames: ``[N, 192, 192, 3]`` uint8.
        ids: ``[N, 192, 192]`` uint8.
    """

    clip: Path
    encoded: Path
    mattes: Path
    instances: tuple[Instance, ...]
    frames: Pixels
    ids: Pixels

    @property
    def captions(self) -> str:
        return "\n".join(f"{instance.id}: {instance.caption}" for instance in self.instances)

    @property
    def inside(self) -> Masks:
        """What is edited, ``[N, 192, 192]``."""
        return np.isin(self.ids, [instance.id for instance in self.instances])

    def edit(self, folder: Path, clip: Path | None = None, frames: FrameRange | None = None) -> Pixels:
        """What ``mive edit`` makes of it, or of another encoding of it."""
        request = EditRequest(
            clip=str(clip or self.clip), frames=frames, mattes=str(self.mattes), instances=self.instances,
            bundle="tiny", settings=SETTINGS,
        )  # fmt: skip
        return _frames(run_edit(request, folder / "edited.mkv").out)

    def edit_floats(
        self, folder: Path, source: Content, mattes: Mapping[int, Content], captions: Sequence[str]
    ) -> Pixels:
        """What ``mive edit`` makes of a host's float clip, with a matte of its own for each instance."""

        def written(name: str, content: Content, channels: int | slice) -> str:
            (folder / name).mkdir(parents=True)
            _, height, width = self.ids.shape
            info = ClipInfo(Path(), width, height, FRAMES, Fraction(24), "f32", bits=32)
            frames = (np.ascontiguousarray(content(number)[..., channels]) for number in range(FRAMES))
            write_raw(folder / name, info, frames)
            return str(folder / name)

        instances = tuple(
            Instance(id=number, caption=caption, matte=written(f"matte-{number}", matte, 0))
            for (number, matte), caption in zip(mattes.items(), captions, strict=True)
        )
        clip = written("clip", source, slice(3))
        request = EditRequest(clip=clip, instances=instances, bundle="tiny", settings=SETTINGS)
        return _frames(run_edit(request, folder / "edited").out)

    def footage(self, time: float) -> Pixels:
        """The frames as a host's float clip."""
        frame = self.frames[int(time)] / np.float32(255)
        return np.concatenate([frame, np.ones((*frame.shape[:2], 1), np.float32)], axis=2)

    def matte(self, thing: int) -> Content:
        """A host's matte clip, whose first channel covers a thing."""

        def frame(time: float) -> Pixels:
            image = np.zeros((*self.ids.shape[1:], 4), np.float32)
            image[..., 0] = self.ids[int(time)] == thing
            return image

        return frame


def make_shot(folder: Path, frames: int = FRAMES, things: int = 2) -> Shot:
    """Writes the clip and its mattes to a folder; so many of the things are edited."""
    scene = demo_scene()
    toy = write_clip(scene, folder, frames, ("source.mkv", "source.mp4"))
    ids = _frames(toy.mattes)[..., 0]
    return Shot(*toy.videos, toy.mattes, demo_instances(scene)[:things], _frames(toy.videos[0]), ids)


def _frames(path: Path) -> Pixels:
    return np.stack(list(open_clip(str(path)).read()))
