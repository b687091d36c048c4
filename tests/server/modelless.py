"""A worker process without a model: ``python modelless.py RENDERER OPTIONS``.

``obedient`` takes 40 steps of a twentieth of a second, unless the first caption says something else, see `Obedient`.
``reading`` opens and reads clip and mattes as a real edit does, and hands the clip's frames back.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.server.fakes import FakeRenderer, a_manifest

from mive.base.progress import Progress
from mive.errors import BundleError, OutOfMemory
from mive.media import Depth
from mive.media.reading import reading
from mive.request import EditRequest, FrameRange
from mive.server import worker
from mive.server.damage import damage_told
from mive.server.options import WorkerOptions
from mive.server.task import Rendered, Renderer, Task

_FRAMES = re.compile(r"(\d+) frames of (\d+) x (\d+) (u8|f32)")


def obey(task: Task, number: int) -> None:
    caption = task.request.instances[0].caption
    if "quick" not in caption:
        time.sleep(0.25 if "slow" in caption else 0.05)
    if "hanging" in caption:
        os.mkfifo(pipe := Path(tempfile.mkdtemp()) / "clip.mov")
        with reading(pipe):
            pipe.read_bytes()
    if "turning" in caption:
        with reading("/nowhere/circles.mov"):
            while True:
                pass
    if "deadly" in caption:
        os.abort()
    if "huge" in caption or ("large" in caption and task.window is None):
        raise OutOfMemory("the job did not fit into memory", fix="Use a smaller window or model_size")


class Obedient(FakeRenderer):
    """Does what the caption says.

    "quick", "slow": steps take no time, or a quarter of a second. "60 frames of 640 x 480 f32": it makes such frames.
    "hanging", "turning": a file does not answer, or its decoder turns in circles.
    "deadly": the process aborts at the first step. "huge": it never fits into memory. "large": it fits with half the
    window only.
    """

    def render(self, task: Task) -> Rendered:
        found = _FRAMES.search(task.request.instances[0].caption)
        if found is None:
            return super().render(task)
        count, width, height = map(int, found.groups()[:3])
        depth: Depth = "f32" if found[4] == "f32" else "u8"
        made = FakeRenderer(self.steps, FrameRange(0, count - 1), (width, height), depth, self.step)
        return made.render(task)


class Reading(FakeRenderer):
    """Everything but the model."""

    def __init__(self) -> None:
        super().__init__()
        # Here, because they need torch, and take their time.
        import torch

        from mive.edit import open_shot
        from mive.engines.devices import memory_of

        self.open, self.memory = open_shot, partial(memory_of, torch.device("cpu"))

    def half_window(self, request: EditRequest) -> int | None:
        return None

    def render(self, task: Task) -> Rendered:
        with self.memory():
            return self._render(task)

    def _render(self, task: Task) -> Rendered:
        task.report(Progress("load", 0, 1))
        with damage_told():
            shot = self.open(task.request, task.handles.before, task.handles.after)
        task.opened(shot.frames, shot.clip.info)
        frames = shot.clip.read(shot.frames)
        for number, index in enumerate(shot.frames.indices()):
            with damage_told():
                frame, coverage = next(frames), shot.mattes.read(index)
            assert coverage.shape[1:] == frame.shape[:2]
            task.results.write(index, frame)
            task.report(Progress("write", number + 1, len(shot.frames)))
        return Rendered(a_manifest(task, shot.frames), ())


RENDERERS = {"obedient": lambda: Obedient(steps=40, step=obey), "reading": Reading}


def make_renderer(kind: str, options: WorkerOptions) -> Renderer:
    if options.bundle == "missing":
        raise BundleError("the weights are missing", fix="Copy them again")
    return RENDERERS[kind]()


if __name__ == "__main__":
    kind, options = sys.argv[1:]
    worker._make_renderer = partial(make_renderer, kind)
    sys.exit(worker.main([options]))
