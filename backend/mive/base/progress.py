"""How far an edit is, and how long its stages take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """How far an edit is.

    Attributes:
        stage: "load", "conditions" (with sketches), "inversion", "sampling", "write" or "mattes" (reading them).
        done, total: steps of this stage, over all views of all windows.
        window, windows: the window that is running (from 1), and how many there are.
        view, views: the view that is running (from 1), and how many there are in all windows.
    """

    stage: str
    done: int
    total: int
    window: int = 1
    windows: int = 1
    view: int = 1
    views: int = 1


Report = Callable[[Progress], None]


@dataclass
class Clock:
    """Wall time by stage."""

    seconds: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)
    _since: float = field(default_factory=time.monotonic)

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self.seconds[stage] += now - self._since  # type: ignore[assignment]
        self._since = now

    def rounded(self) -> dict[str, float]:
        laps = {stage: round(float(value), 2) for stage, value in self.seconds.items()}
        return {**laps, "total": round(time.monotonic() - self.started, 2)}
