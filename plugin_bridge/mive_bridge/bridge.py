"""The bridge: accepts plugins, and ends when nobody needs it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
import socket
import time
from pathlib import Path
from typing import Final

from mive_bridge.channel import Channel
from mive_bridge.edits import Edits
from mive_bridge.files import private_folder
from mive_bridge.frames import FrameCache
from mive_bridge.place import Place, is_own_user
from mive_bridge.servers import Servers
from mive_bridge.settings import Settings
from mive_bridge.talk import Talk

log = logging.getLogger("mive.bridge")

MOST_CONNECTIONS: Final = 256

_LOOK_SECONDS: Final = 5.0
"""How often it looks whether it is still needed, and still found."""


class Bridge:
    """All of it.

    Args:
        place: where it listens.
        folder: of everything that is kept.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, place: Place, settings: Settings, folder: Path) -> None:
        self._place = place
        self._settings = settings
        private_folder(folder)
        cache = FrameCache(folder / "frames", settings.cache_bytes)
        self._servers = Servers(settings, folder)
        self._edits = Edits(edits_folder(folder, place.path), cache, self._servers)
        self._talks: set[asyncio.Task[None]] = set()
        self._asked = time.monotonic()
        self._ended = asyncio.Event()

    async def serve(self) -> None:
        """Serves until it is idle for too long, or told to end by a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        accepting, resuming = loop.create_task(self._accept()), loop.create_task(self._resume())
        try:
            while not (self._ended.is_set() or self._is_idle() or self._place.lost or accepting.done()):
                try:
                    async with asyncio.timeout(min(self._settings.idle_seconds / 4, _LOOK_SECONDS)):
                        await self._ended.wait()
                except TimeoutError:
                    continue
        finally:
            self._place.close()
            tasks = (accepting, resuming, *self._talks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._edits.close()
            await self._servers.close()
            log.info("ended")

    async def _resume(self) -> None:
        try:
            await self._edits.resume()
        except Exception:
            log.exception("what was left unfinished cannot be resumed")

    def _is_idle(self) -> bool:
        if self._edits.busy:
            self._touch()
        return time.monotonic() > self._asked + self._settings.idle_seconds

    def _touch(self) -> None:
        self._asked = time.monotonic()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        self._place.listener.setblocking(False)
        while True:
            try:
                connection, _ = await loop.sock_accept(self._place.listener)
                self._talk_over(connection)
            except OSError as error:
                # Out of descriptors, for instance: connections that end make room.
                log.warning("a connection could not be accepted: %s", error.strerror)
                await asyncio.sleep(0.1)

    def _talk_over(self, connection: socket.socket) -> None:
        if not is_own_user(connection) or len(self._talks) >= MOST_CONNECTIONS:
            log.warning("a connection of another user, or one too many, is closed")
            connection.close()
            return
        task = asyncio.create_task(Talk(Channel(connection), self._edits, self._servers, self._touch).hold())
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)


def edits_folder(folder: Path, socket_path: Path) -> Path:
    """Edits belong to a socket, so that bridges of two sessions never write the same files."""
    return folder / "edits" / hashlib.sha256(str(socket_path.absolute()).encode()).hexdigest()[:12]
