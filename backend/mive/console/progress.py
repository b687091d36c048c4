"""How far an edit is, on standard error: bars on a terminal, else lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from mive.base.progress import Progress

_STAGES: Final = {
    "send": "sending",
    "room": "waiting for room in the queue",
    "load": "loading the model",
    "mattes": "reading mattes",
    "conditions": "depth and motion",
    "inversion": "inverting the source",
    "sampling": "editing",
    "write": "writing frames",
    "fetch": "fetching frames",
}
_PAUSE: Final = 10.0
"""Seconds between two lines of one stage."""


class Display(Protocol):
    """Shows how far an edit is; may be used as a :data:`mive.base.progress.Report`."""

    def __call__(self, progress: Progress, eta: float | None = None) -> None:
        """A stage got ahead; ``eta`` seconds are left for the whole edit, where that is known."""

    def say(self, text: str) -> None:
        """Something else happened."""


@contextmanager
def shown(quiet: bool = False, *, here: bool = True) -> Iterator[Display]:
    """What to report an edit's progress to.

    Args:
        here: the edit is made by this process, so that its memory is of interest.
    """
    memory = _memory if here else str
    if quiet:
        yield Nothing()
    elif sys.stderr.isatty():
        with _bars(memory) as display:
            yield display
    else:
        yield Lines(sys.stderr, memory=memory)


class Nothing:
    """Shows nothing."""

    def __call__(self, progress: Progress, eta: float | None = None) -> None:
        pass

    def say(self, text: str) -> None:
        pass


class Lines:
    """A line when a stage starts and ends, and every ten seconds between.

    Args:
        stream: where they go.
        clock: seconds that only grow.
        memory: what stands at the end of each line.
    """

    def __init__(
        self, stream: TextIO, clock: Callable[[], float] = time.monotonic, memory: Callable[[], str] | None = None
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._memory = memory or _memory
        self._started: dict[str, float] = {}
        self._last = 0.0

    def __call__(self, progress: Progress, eta: float | None = None) -> None:
        now = self._clock()
        new = progress.stage not in self._started
        started = self._started.setdefault(progress.stage, now)
        if not new and progress.done < progress.total and now - self._last < _PAUSE:
            return
        self._last = now
        parts = [f"{_STAGES.get(progress.stage, progress.stage)} {progress.done}/{progress.total}"]
        if progress.views > progress.windows:
            parts.append(f"view {progress.view}/{progress.views}")
        elif progress.windows > 1:
            parts.append(f"window {progress.window}/{progress.windows}")
        if eta is not None:
            parts.append(_left_in_all(eta))
        elif 0 < progress.done < progress.total:
            left = (now - started) / progress.done * (progress.total - progress.done)
            parts.append(f"{clock_time(left)} left")
        parts.append(self._memory())
        self.say(", ".join(part for part in parts if part))

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class Told:
    """Says warnings on a display as soon as they are known, each once.

    Attributes:
        texts: those that were shown.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self.texts: list[str] = []

    def __call__(self, warnings: Iterable[str]) -> None:
        if isinstance(self._display, Nothing):
            return
        for warning in warnings:
            if warning not in self.texts:
                self._display.say(f"Warning: {warning}")
                self.texts.append(warning)


class Bars:
    """A bar for each stage that has begun.

    Args:
        bars: rich's, whose tasks have a field "note".
        memory: what stands beside the running stage's.
    """

    def __init__(self, bars: RichProgress, memory: Callable[[], str]) -> None:
        self._bars = bars
        self._memory = memory
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, progress: Progress, eta: float | None = None) -> None:
        stage = progress.stage
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(_STAGES.get(stage, stage), total=progress.total, note="")
        # Only the running stage tells the memory, which is the whole process's.
        for other in self._tasks.values():
            self._bars.update(other, note="")
        note = self._memory() if eta is None else _left_in_all(eta)
        self._bars.update(self._tasks[stage], completed=progress.done, total=progress.total, note=note)

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)


def resident_bytes() -> int | None:
    """Memory of this process that is in RAM now; ``None`` where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def _bars(memory: Callable[[], str]) -> Iterator[Display]:
    from rich import progress as rich
    from rich.console import Console

    with rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        rich.TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        yield Bars(bars, memory)


def _memory() -> str:
    size = resident_bytes()
    return "" if size is None else f"{size / 1e6:.0f} MB"


def _left_in_all(eta: float) -> str:
    return f"{clock_time(eta)} left in all"


def clock_time(seconds: float) -> str:
    """ "2:05", or "1:02:05" from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
