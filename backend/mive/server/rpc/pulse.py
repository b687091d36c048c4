"""Wakes those who wait for the job store to change, so that not every watcher asks it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from mive.server.bell import Listener
from mive.server.database import Database
from mive.server.loops import going_on

LOOK_SECONDS: Final = 1.0
"""After so long without a ring the store is asked whether anything changed."""

_DEAF_SECONDS: Final = 0.05
_REST_SECONDS: Final = 0.005
"""Between two beats, so that many changes at once are one."""


class Pulse:
    """Counts the changes of a database, whichever process made them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = asyncio.Event()
        self._seen: int | None = None
        self.count = 0

    async def run(self) -> None:
        """Beat until cancelled."""
        loop, rung = asyncio.get_running_loop(), asyncio.Event()
        with Listener(self._database.bell.folder) as listener:
            if listener.descriptor is not None:
                loop.add_reader(listener.descriptor, _hear, listener, rung)
            try:
                while True:
                    with going_on("the job store could not be looked at"):
                        if await self._changes(rung, LOOK_SECONDS if listener.descriptor else _DEAF_SECONDS):
                            self._beat()
                    await asyncio.sleep(_REST_SECONDS)
            finally:
                if listener.descriptor is not None:
                    loop.remove_reader(listener.descriptor)

    async def _changes(self, rung: asyncio.Event, patience: float) -> bool:
        """Wait for a ring, or look whether one went unheard."""
        try:
            await asyncio.wait_for(rung.wait(), patience)
        except TimeoutError:
            seen, self._seen = self._seen, await asyncio.to_thread(self._database.version)
            return seen != self._seen
        rung.clear()
        return True

    async def after(self, count: int, seconds: float | None = None) -> None:
        """Wait until something changed since ``count`` was read.

        Args:
            seconds: waits no longer.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.count == count:
                    await self._changed.wait()

    def _beat(self) -> None:
        self.count += 1
        self._changed.set()
        self._changed = asyncio.Event()


def _hear(listener: Listener, rung: asyncio.Event) -> None:
    listener.heard()
    rung.set()
