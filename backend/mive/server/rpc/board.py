"""How all jobs stand that wait or run, asked of the store once for all who watch one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final

from mive.server.loops import first_of, going_on
from mive.server.rpc.pulse import Pulse
from mive.server.store import JobStore, Standing

_REST_SECONDS: Final = 0.0002
"""For each job that is watched, between two looks, which cost as much for each."""

_LONGEST_REST: Final = 0.05
_LOOK_SECONDS: Final = 5.0
"""A watcher looks for itself after so long, whatever the board says."""


class Board:
    """Tells watchers when their own job has changed, so that the change of one does not wake them all.

    Args:
        pulse: of the store.

    Attributes:
        watchers: how many there are.
    """

    def __init__(self, store: JobStore, pulse: Pulse) -> None:
        self._store = store
        self._pulse = pulse
        self._now: dict[str, Standing] = {}
        self._changes: dict[str, asyncio.Event] = {}
        self.watchers = 0
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Follow the store until cancelled."""
        while True:
            beat = self._pulse.count
            self._wanted.clear()
            with going_on("how jobs stand could not be read"):
                self._turn(await asyncio.to_thread(self._store.standings) if self._changes else {})
            await asyncio.sleep(min(_LONGEST_REST, _REST_SECONDS * len(self._changes)))
            await first_of(self._pulse.after(beat), self._wanted.wait())

    @property
    def beat(self) -> int:
        """Another number after every change of the store."""
        return self._pulse.count

    @contextlib.contextmanager
    def watcher(self) -> Iterator[None]:
        """Somebody watches a job in the block."""
        self.watchers += 1
        try:
            yield
        finally:
            self.watchers -= 1

    def of(self, job: str) -> Standing | None:
        """How a job stood when it was last looked at; None where it has ended, or nobody has looked yet."""
        return self._now.get(job)

    async def change(self, job: str, known: Standing | None) -> None:
        """Wait until a job stands otherwise than ``known``, or for some seconds."""
        if known is None:
            # Nobody has watched it so far.
            self._wanted.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                while self._now.get(job) == known:
                    await self._changes.setdefault(job, asyncio.Event()).wait()

    def _turn(self, now: dict[str, Standing]) -> None:
        before, self._now = self._now, now
        for job in [job for job in self._changes if before.get(job) != now.get(job)]:
            self._changes.pop(job).set()
