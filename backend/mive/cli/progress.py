"""How far an edit is, on standard error: bars on a terminal, else lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from rich.progress import TaskID

    from mive.progress import Progress, Report

_STAGES: Final = {
    "load": "loading the model",
    "conditions": "depth and motion",
    "inversion": "inverting the source",
    "sampling": "editing",
    "write": "writing frames",
}
_PAUSE: Final = 10.0
"""Seconds between two lines of one stage."""


@contextmanager
def shown(quiet: bool = False) -> Iterator[Report]:
    """What to report an edit's progress to."""
    if quiet:
        yield lambda progress: None
    elif sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        yield Lines(sys.stderr)


class Lines:
    """A line when a stage starts and ends, and every ten seconds between.

    Args:
        stream: where they go.
        clock: seconds that only grow.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._started: dict[str, float] = {}
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        now = self._clock()
        new = progress.stage not in self._started
        started = self._started.setdefault(progress.stage, now)
        if not new and progress.done < progress.total and now - self._last < _PAUSE:
            return
        self._last = now
        parts = [f"{_STAGES.get(progress.stage, progress.stage)} {progress.done}/{progress.total}"]
        if progress.windows > 1:
            parts.append(f"window {progress.window}/{progress.windows}")
        if 0 < progress.done < progress.total:
            left = (now - started) / progress.done * (progress.total - progress.done)
            parts.append(f"{_clock_time(left)} left")
        parts.append(_memory())
        print(", ".join(part for part in parts if part), file=self._stream, flush=True)


def resident_bytes() -> int | None:
    """Memory of this process that is in RAM now; ``None`` where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def _bars() -> Iterator[Report]:
    """A bar for each stage that has begun."""
    from rich import progress as rich
    from rich.console import Console

    with rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        rich.TextColumn("{task.fields[memory]}"),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        tasks: dict[str, TaskID] = {}

        def report(progress: Progress) -> None:
            stage = progress.stage
            if stage not in tasks:
                words = _STAGES.get(stage, stage)
                tasks[stage] = bars.add_task(words, total=progress.total, memory="")
            # Only the running stage tells the memory, which is the whole process's.
            for other in tasks.values():
                bars.update(other, memory="")
            bars.update(tasks[stage], completed=progress.done, total=progress.total, memory=_memory())

        yield report


def _memory() -> str:
    size = resident_bytes()
    return "" if size is None else f"{size / 1e6:.0f} MB"


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
