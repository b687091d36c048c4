"""Wakes those who wait for the job store to change, so that not every watcher asks it."""

from __future__ import annotations

import asyncio
import contextlib

from mive.errors import MiveError
from mive.server.database import Database

SECONDS = 0.05
"""How often the store is asked whether anything changed."""


class Pulse:
    """Counts the changes of a database, whichever process made them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = asyncio.Event()
        self.count = 0

    async def run(self) -> None:
        """Beat until cancelled."""
        seen = None
        while True:
            with contextlib.suppress(MiveError):
                version = await asyncio.to_thread(self._database.version)
                if version != seen:
                    seen = version
                    self._beat()
            await asyncio.sleep(SECONDS)

    async def after(self, count: int) -> None:
        """Wait until something changed since ``count`` was read."""
        while self.count == count:
            await self._changed.wait()

    def _beat(self) -> None:
        self.count += 1
        self._changed.set()
        self._changed = asyncio.Event()
