"""How much an edit has to do, and how long the rest of it will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from mive.base.progress import Progress

USUAL_COSTS: Final = {"conditions": 2.0, "inversion": 1.0, "sampling": 2.2, "write": 2.0}
"""What a unit of each stage takes, compared with one of the inversion: a frame through the U-Net."""

_IN_A_VIEW: Final = ("conditions", "inversion", "sampling")
"""The order in which a view's stages come; a window is written after its views."""

_SURE: Final = 3
"""Steps of a stage after which its own pace is believed."""


@dataclass(frozen=True)
class Work:
    """All that an edit has to do.

    Attributes:
        units: for each stage how much each of its steps is, over all views: frames that go through the U-Net for
            "inversion" and "sampling", frames for "conditions" and "write".
    """

    units: Mapping[str, Sequence[float]]

    def done(self, stage: str, share: float) -> float:
        """Units of a stage that are done when so many of its steps are.

        Args:
            share: of its steps, 0..1.
        """
        steps = self.units.get(stage, ())
        sums = [0.0, *accumulate(steps)]
        place = min(max(share, 0.0), 1.0) * len(steps)
        whole = min(int(place), len(steps) - 1) if steps else 0
        return sums[whole] + (place - whole) * (steps[whole] if steps else 0.0)

    def total(self, stage: str) -> float:
        """Units of a stage in all."""
        return float(sum(self.units.get(stage, ())))


@dataclass
class Costs:
    """Seconds of a unit by stage, as edits so far had them; what has not been seen is guessed from the rest."""

    seconds: dict[str, float] = field(default_factory=dict)

    def relative(self, stage: str) -> float:
        """What a unit of a stage costs, in a measure that all stages share."""
        if stage in self.seconds:
            return self.seconds[stage]
        seen = [self.seconds[each] / USUAL_COSTS[each] for each in self.seconds if each in USUAL_COSTS]
        return USUAL_COSTS.get(stage, 1.0) * (sum(seen) / len(seen) if seen else 1.0)

    def learn(self, stage: str, seconds: float) -> None:
        """Take note of what a unit has cost in one edit."""
        self.seconds[stage] = (self.seconds[stage] + seconds) / 2 if stage in self.seconds else seconds


@dataclass
class _Pace:
    """What of a stage was done in this process."""

    share: float = 0.0
    units: float = 0.0
    seconds: float = 0.0
    steps: int = 0


class Estimate:
    """Follows one edit, and tells how long it will go on.

    Args:
        costs: what earlier edits have taught; `end` adds this one's.
        clock: seconds.
    """

    def __init__(self, costs: Costs, clock: Callable[[], float] = time.monotonic) -> None:
        self._costs = costs
        self._clock = clock
        self._work: Work | None = None
        self._paces: dict[str, _Pace] = {}
        self._since = clock()

    def begin(self, work: Work) -> None:
        """All that there is to do is known."""
        self._work = work
        self._paces.clear()
        self._since = self._clock()

    def follow(self, progress: Progress) -> float | None:
        """Take note of how far the edit is, and say in how many seconds it should be done; None while nobody knows."""
        if self._work is None or progress.stage not in self._work.units or not progress.total:
            return self._left()
        now, pace = self._clock(), self._paces.setdefault(progress.stage, _Pace())
        share = progress.done / progress.total
        if share > pace.share:
            # A stage that goes on from a checkpoint has done one step here, and not all before it.
            before = max(pace.share, (progress.done - 1) / progress.total)
            pace.units += self._work.done(progress.stage, share) - self._work.done(progress.stage, before)
            pace.seconds += now - self._since
            pace.steps += 1
            pace.share = share
            self._since = now
        self._catch_up(progress)
        return self._left()

    def _catch_up(self, progress: Progress) -> None:
        """What must have come before is done, be it that another process did it or that it was found in a cache."""
        before = _IN_A_VIEW[: _IN_A_VIEW.index(progress.stage)] if progress.stage in _IN_A_VIEW else ()
        shares = {stage: progress.view / progress.views for stage in before}
        shares["write"] = (progress.window - 1) / progress.windows
        for stage, share in shares.items():
            pace = self._paces.setdefault(stage, _Pace())
            pace.share = max(pace.share, share)

    def share(self) -> float:
        """How much of the whole edit is done, 0..1, by what its stages cost."""
        if self._work is None:
            return 0.0
        whole = sum(self._work.total(stage) * self._cost(stage) for stage in self._work.units)
        left = sum(self._units_left(stage) * self._cost(stage) for stage in self._work.units)
        return 1 - left / whole if whole else 0.0

    def end(self) -> None:
        """Learn from the edit, which is done."""
        for stage, pace in self._paces.items():
            if pace.units and pace.steps >= _SURE:
                self._costs.learn(stage, pace.seconds / pace.units)

    def _left(self) -> float | None:
        if self._work is None or self._pace() is None:
            return None
        return sum(self._units_left(stage) * self._cost(stage) for stage in self._work.units)

    def _units_left(self, stage: str) -> float:
        assert self._work is not None
        done = self._work.done(stage, self._paces[stage].share) if stage in self._paces else 0.0
        return self._work.total(stage) - done

    def _cost(self, stage: str) -> float:
        """Seconds of a unit: as this edit has had them, else as earlier ones had, at this one's pace."""
        pace = self._paces.get(stage)
        if pace is not None and pace.units and pace.steps >= _SURE:
            return pace.seconds / pace.units
        return self._costs.relative(stage) * (self._pace() or 1.0)

    def _pace(self) -> float | None:
        """How much slower this edit is than what was expected of its stages so far; None while nothing was measured."""
        seconds = sum(pace.seconds for pace in self._paces.values() if pace.units)
        expected = sum(pace.units * self._costs.relative(stage) for stage, pace in self._paces.items())
        if expected:
            return seconds / expected
        return 1.0 if self._costs.seconds else None
