"""Means over clips with bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

RESAMPLES: Final = 2000
SEED: Final = 20_261
LEVEL: Final = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval.

    Attributes:
        mean: over everything.
        low, high: ends of the 95 % percentile bootstrap interval; None where a single clip leaves none.
        count: how many values the mean is of.
    """

    mean: float
    low: float | None
    high: float | None
    count: int


def estimate(clips: Sequence[Sequence[float]]) -> Estimate | None:
    """The mean of all values, and how far it moves when other clips of the same kind are drawn.

    Whole clips are resampled, since values of one clip are alike; the same clips are drawn on every call with as
    many clips, so methods are compared on the same draws, and a report comes out the same each time.

    Args:
        clips: each clip's values; it may have none.

    Returns:
        None where there are no values.
    """
    sums = np.array([sum(values) for values in clips], np.float64)
    counts = np.array([len(values) for values in clips], np.float64)
    total = int(counts.sum())
    if total == 0:
        return None
    mean = float(sums.sum() / total)
    if np.count_nonzero(counts) < 2:
        return Estimate(mean, None, None, total)
    drawn = np.random.default_rng(SEED).integers(len(clips), size=(RESAMPLES, len(clips)))
    weights = counts[drawn].sum(1)
    means = sums[drawn].sum(1)[weights > 0] / weights[weights > 0]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(mean, float(low), float(high), total)
