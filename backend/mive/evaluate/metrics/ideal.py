"""An edit against the ideal one, inside each matte, and how near the bundle's VAE could come."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mive.evaluate.metrics.crops import HALF
from mive.evaluate.metrics.fidelity import Likeness, likeness
from mive.evaluate.metrics.scores import mean
from mive.media.info import Coverage, Pixels


@dataclass(frozen=True)
class IdealScores(Likeness):
    """How near an edit is to the ideal one. What could not be computed is None.

    Attributes:
        ceiling: how near the ideal itself is after a round trip through the VAE: no edit can be expected nearer.
        share: the edit's PSNR as a share of the ceiling's; 1 = as good as the VAE allows.
    """

    ceiling: Likeness = field(default_factory=Likeness)
    share: float | None = None


def compare(edited: Iterable[Pixels], ideal: Iterable[Pixels], mattes: Iterable[Coverage]) -> tuple[Likeness, ...]:
    """The likeness of each of M instances: means over the frames that show it.

    Args:
        edited: ``[H, W, 3]`` in any depth.
        ideal: as many frames of the same size.
        mattes: ``[M, H, W]`` float32, 0..1, for each frame.
    """
    frames = [
        [likeness(one, other, layer >= HALF) for layer in coverage]
        for one, other, coverage in zip(edited, ideal, mattes, strict=True)
    ]
    return tuple(average(instance) for instance in zip(*frames, strict=True))


def average(found: Sequence[Likeness]) -> Likeness:
    """The mean of each score over what has it."""
    return Likeness(
        mean(one.psnr for one in found), mean(one.delta_e for one in found), mean(one.ssim for one in found)
    )


def against(found: Likeness, ceiling: Likeness) -> IdealScores:
    """A likeness beside the ceiling of the same instance or clip."""
    share = None if found.psnr is None or not ceiling.psnr else found.psnr / ceiling.psnr
    return IdealScores(**dataclasses.asdict(found), ceiling=ceiling, share=share)
