"""How much an edit has to do, counted before its first step."""

from __future__ import annotations

from collections.abc import Iterator

from mive.base.work import Work
from mive.editing.framing import Framing
from mive.method.schedule import Grids
from mive.plans import Fuse, Lps, Nps, Plan

_FUSION = 0.02
"""Frames through the U-Net that take as long as fusing one."""


def work_of(framing: Framing, plan: Plan, grids: Grids, *, together: bool = False) -> Work:
    """The steps of all stages, in the order in which an edit does them; see `Work`.

    Args:
        together: one caption edits the frame as a whole, whatever instances it shows.
    """
    windows = framing.windows()
    views = [(len(view.frames), 1 if together else len(view.instances)) for framed in windows for view in framed.views]
    return Work(
        {
            "conditions": [float(frames) for frames, _ in views],
            "inversion": [float(frames) for frames, _ in views for _ in grids.inversion],
            "sampling": [frames * forwards for frames, count in views for forwards in plan_forwards(plan, count)],
            "write": [float(len(framed.views)) for framed in windows for _ in framed.final.indices()],
        }
    )


def plan_forwards(plan: Plan, instances: int) -> Iterator[float]:
    """How often each step of a plan sends a frame through the U-Net; see `mive.method.sampling.Sampler`."""
    fused, background = False, set[int]()
    for step in plan:
        match step:
            case Lps():
                # Guidance needs the frame without captions too; once, while all instances share it.
                yield instances + (1 if fused else instances)
                fused = False
            case Nps(s=s):
                yield instances + 1 + (s not in background)
                background.add(s)
                fused = True
            case Fuse():
                yield _FUSION
                fused = True
            case _:
                yield 1
