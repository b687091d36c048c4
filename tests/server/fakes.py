"""Stand-ins for the parts of the service that need time, memory or a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from mive.base.progress import Progress
from mive.base.samples import IN_MEMORY
from mive.base.work import Work
from mive.manifest import BundleRecord, Manifest
from mive.media import ClipInfo, Depth
from mive.request import EditRequest, FrameRange, Instance
from mive.server.clocks import Clocks
from mive.server.leases import DeviceFacts
from mive.server.task import Rendered, Task

ANNA, BEN = "hash-of-anna's-token", "hash-of-ben's-token"


def a_request(caption: str = "a green cube") -> EditRequest:
    return EditRequest(clip="clip.mkv", mattes="mattes", instances=(Instance(id=1, caption=caption),))


@dataclass
class FakeClock:
    """Time that passes when a test says so."""

    seconds: float = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


def clocks_of(steady: FakeClock, wall: FakeClock | None = None, boot: str = "this boot") -> Clocks:
    """Both kinds of time by one clock, or each by its own."""
    return Clocks(wall or steady, steady, lambda: boot)


@dataclass
class FakeRenderer:
    """Takes steps that do nothing and makes small frames, all of whose samples are the frame's index.

    Attributes:
        size: width and height of the frames.
        step: called before every step with the task and the step's number.
    """

    steps: int = 4
    frames: FrameRange = field(default_factory=lambda: FrameRange(10, 12))
    size: tuple[int, int] = (6, 4)
    depth: Depth = "u8"
    step: Callable[[Task, int], None] = lambda task, number: None
    windows: list[int | None] = field(default_factory=list)
    freed: int = 0

    def load(self, bundle: str) -> None:
        pass

    def about(self) -> DeviceFacts:
        return DeviceFacts("a device of no kind", 2**30, 2**29)

    def half_window(self, request: EditRequest) -> int | None:
        return 8

    def free(self) -> None:
        self.freed += 1

    def render(self, task: Task) -> Rendered:
        self.windows.append(task.window)
        task.report(Progress("load", 1, 1))
        width, height = self.size
        info = ClipInfo(Path("clip.mkv"), width, height, max(24, self.frames.last + 1), Fraction(24), self.depth)
        task.opened(self.frames, info)
        task.planned(Work({"sampling": [1.0] * self.steps}))
        for number in range(self.steps):
            self.step(task, number)
            task.report(Progress("sampling", number + 1, self.steps))
            if task.preview_every and (number + 1) % task.preview_every == 0:
                task.preview(1, self.frames.first, np.full((4, 6, 3), 9, np.uint8), number + 1, self.steps)
        for index in self.frames.indices():
            task.results.write(index, np.full((height, width, 3), index, IN_MEMORY[self.depth].dtype))
        task.finished(self.frames, 1, 1)
        return Rendered(a_manifest(task, self.frames), ("the caption is long",))


def a_manifest(task: Task, frames: FrameRange) -> Manifest:
    """Of a task whose frames are all there."""
    settings = task.request.settings.resolved({"model_size": 64})
    return Manifest(
        request=task.request, settings=settings, frames=frames, source_hash="", matte_hashes={},
        bundle=BundleRecord(name="fake", files={}), device="cpu", precision="fp32", plan={}, seconds={}, outputs=(),
        frames_hash=task.results.hash(frames),
    )  # fmt: skip
