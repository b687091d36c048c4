"""A worker process without a model: its edits take 40 steps of a twentieth of a second."""

from __future__ import annotations

import os
import sys
import time

from tests.server.fakes import FakeRenderer

from mive.errors import BundleError
from mive.server import worker
from mive.server.options import WorkerOptions
from mive.server.task import Renderer, Task


def slow(task: Task, number: int) -> None:
    time.sleep(0.05)
    if "deadly" in task.request.instances[0].caption:
        os.abort()


def make_renderer(options: WorkerOptions) -> Renderer:
    if options.bundle == "missing":
        raise BundleError("the weights are missing", fix="Copy them again")
    return FakeRenderer(steps=40, step=slow)


if __name__ == "__main__":
    worker._make_renderer = make_renderer
    sys.exit(worker.main(sys.argv[1:]))
