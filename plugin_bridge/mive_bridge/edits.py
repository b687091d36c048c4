"""All edits: what is ordered, handed over, asked for and cancelled."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mive.errors import MiveError
from mive_bridge.edit import RECORD, Edit, Standing, phase_of, remove_sent
from mive_bridge.files import age_of, private_folder
from mive_bridge.frames import FrameCache
from mive_bridge.images import Format, Image
from mive_bridge.messages import Message, Refused
from mive_bridge.orders import Order
from mive_bridge.previews import previews_folder
from mive_bridge.puts import Put
from mive_bridge.region import Region
from mive_bridge.rules import Asked, Judge, require_images
from mive_bridge.servers import Servers
from mive_bridge.threads import Threads
from mive_bridge.work import Work

log = logging.getLogger("mive.bridge.edits")

KEEP_DAYS: Final = 30
"""How long an edit is remembered that nobody asks about."""

KEEP_SOURCES_DAYS: Final = 7
"""The same for one whose frames were handed over and that is not being made; they take much room."""

_DAY: Final = 86400.0
_THREADS: Final = 4
Answer = tuple[str, dict[str, str]]
"""Type and fields of an answer."""


class Edits:
    """All edits of this bridge.

    Args:
        folder: one folder for each, by their names; is made.
        cache: of edited frames.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, folder: Path, cache: FrameCache, servers: Servers) -> None:
        private_folder(folder)
        # A bridge that was killed left them.
        shutil.rmtree(previews_folder(folder), ignore_errors=True)
        self._folder = folder
        self._cache = cache
        self._servers = servers
        self._work = Work(servers, cache)
        self._edits: dict[str, Edit] = {}
        self._opening = asyncio.Lock()
        self._threads = Threads(_THREADS, "answers")
        self._judge = Judge(cache, self._threads)
        self._errands: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Edits are being made, by servers that answer."""
        return any(edit.task and not edit.task.done() and not edit.stranded for edit in self._edits.values())

    async def resume(self) -> None:
        """Goes on with what an earlier bridge left unfinished, and forgets what nobody has asked about for long."""
        for folder in await self._threads.run(self._unfinished):
            await self._find(folder.name)

    async def close(self) -> None:
        """Stops working. Jobs at servers go on."""
        tasks = [edit.task for edit in self._edits.values() if edit.task] + list(self._errands)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.close()

    async def order(self, message: Message) -> Answer:
        """Opens an edit, or finds it.

        Raises:
            Refused: it is no edit.
        """
        order = Order.from_message(message)
        server, token, again = message.text("server"), message.text("token"), message.text("again")
        if again not in ("0", "1"):
            raise Refused('The field "again" is neither 0 nor 1.')
        edit = await self._find(order.key) or await self._begin(order, server, token)
        if again == "1":
            await self._restart(edit)
        if (server, token) != (edit.at.server, edit.at.token) and not edit.at.job:
            edit.at.server, edit.at.token = server, token
            await self._threads.run(edit.save)
        self._go(edit)
        return "state", edit.state()

    async def put(self, message: Message, region: Region | None) -> Answer:
        """Takes the images of a frame.

        Raises:
            Refused: they are not those that the edit needs, or not what the request says.
        """
        asked = Asked.parse(message)
        edit = await self._find(asked.edit)
        if edit is None:
            return "state", {"state": "unknown"}
        require_images(edit, asked)
        if edit.frames is not None and asked.number not in edit.frames:
            raise Refused(f"Frame {asked.number} is not part of the edit.")
        if region is None:
            raise Refused("There is no memory: a region comes first.")
        premultiplied = message.whole("premultiplied", 1) == 1
        put = edit.puts.describe(asked.number, asked.images, premultiplied)
        views = dict(zip(asked.images, region.images(seen.format for seen in asked.images.values()), strict=True))
        async with edit.writing:
            await self._keep(edit, put, views)
        self._go(edit)
        return "state", edit.state()

    async def frame(self, message: Message, region: Region | None) -> Answer:
        """Writes an edited frame to the region, or says why not.

        Raises:
            Refused: the request makes no sense.
        """
        asked = Asked.parse(message)
        wanted = Format.parse(message.text("wanted"))
        look = message.text("look")
        if wanted.components != "rgba":
            raise Refused("Edited frames are RGBA.")
        if message.text("key") != asked.key:
            raise Refused("The frame's name is wrong. Update the plugin or the bridge.")
        edit = await self._find(asked.edit)
        if edit is None:
            return "miss", {"state": "unknown"}
        require_images(edit, asked)
        verdict = await self._judge.verdict(edit, asked, look)
        if verdict == "changed":
            edit.at.changed = True
            return "miss", {"state": "changed"}
        if verdict == "right" and look and (moved := await self._judge.moved(edit, asked.number, look)):
            return "miss", {"state": "changed", "text": moved}
        if verdict == "right" and edit.has(asked.number):
            if region is None:
                raise Refused("There is no memory: a region comes first.")
            (target,) = region.images([wanted])
            if await self._threads.run(self._cache.copy, edit.name_of(asked.number), target, wanted):
                region.stamp(message.whole("id"), asked.key, wanted.bytes)
                return "hit", {"key": asked.key}
        if verdict == "right" and edit.at.phase == "done" and asked.number in (edit.frames or ()):
            # The cache was too small for it; the server may still have it.
            edit.at.phase = "running"
            self._go(edit)
        return "miss", edit.state(asked.number)

    async def status(self, message: Message) -> Answer:
        """How an edit stands."""
        edit = await self._find(message.text("edit"))
        return "state", {"state": "unknown"} if edit is None else edit.state()

    async def cancel(self, message: Message) -> Answer:
        """Stops an edit that is not done."""
        edit = await self._find(message.text("edit"))
        if edit is None:
            return "state", {"state": "unknown"}
        if edit.at.phase in ("collecting", "queued", "running"):
            await self._stop(edit)
            edit.at.phase, edit.at.text = "cancelled", ""
            await self._threads.run(edit.save)
        return "state", edit.state()

    async def _keep(self, edit: Edit, put: Put, images: Mapping[str, Image]) -> None:
        former = edit.puts.by_number.get(put.number)
        same = former is not None and (former.key, former.premultiplied) == (put.key, put.premultiplied)
        if same and (edit.at.made or put.number in edit.puts.present):
            return
        await self._threads.run(edit.puts.write, put, images)
        if former is not None and not same and edit.at.made:
            await self._stop(edit)
            edit.forget()
            await self._threads.run(edit.remove_made)
            await self._threads.run(edit.save)
        await self._threads.run(edit.puts.note, put)

    async def _begin(self, order: Order, server: str, token: str) -> Edit:
        def make() -> Edit:
            private_folder(self._folder / order.key)
            edit = Edit(self._folder / order.key, order, Standing(server=server, token=token), self._cache)
            edit.save()
            return edit

        async with self._opening:
            if order.key not in self._edits:
                self._edits[order.key] = await self._threads.run(make)
                log.info("a new edit of %d instances", len(order.captions))
        return self._edits[order.key]

    async def _find(self, key: str) -> Edit | None:
        """The edit of that name, in memory, or on disk, where a killed bridge may have left it unfinished."""
        if key in self._edits:
            return self._edits[key]
        if len(key) != 64 or not key.isalnum():
            return None
        async with self._opening:
            if key not in self._edits:
                try:
                    edit = await self._threads.run(Edit.open, self._folder / key, self._cache)
                except (OSError, ValueError, KeyError, TypeError, AttributeError, Refused):
                    return None
                self._edits[key] = edit
                self._go(edit)
        return self._edits[key]

    async def _restart(self, edit: Edit) -> None:
        """Starts afresh what failed, was cancelled, or was made from a source that has changed."""
        if edit.at.phase == "done" and edit.at.facts:
            edit.at.changed = edit.at.changed or not await self._judge.has_same_files(edit, age=0)
        if edit.at.phase not in ("failed", "cancelled") and not edit.at.changed:
            return
        await self._stop(edit)
        async with edit.writing:
            edit.at.attempt += 1
            edit.at.job = edit.at.text = ""
            edit.eta = None
            if edit.at.changed:
                edit.forget()
                await self._threads.run(edit.puts.clear)
            elif edit.at.made and edit.parcel.is_dir():
                edit.at.phase = "queued"
            else:
                edit.forget()
            await self._threads.run(edit.remove_made)
            await self._threads.run(edit.save)

    def _go(self, edit: Edit) -> None:
        """Has somebody work on it, if there is something to do and nobody does."""
        if edit.ready and (edit.task is None or edit.task.done()):
            if edit.frames is not None:
                edit.at.phase = "queued"
            sheet = edit.new_sheet()
            edit.task = asyncio.create_task(self._work.forward(edit))
            edit.task.add_done_callback(lambda _: sheet.close())

    async def _stop(self, edit: Edit) -> None:
        """Nobody works on it any more, here or at the server."""
        if edit.task is not None:
            edit.task.cancel()
            await asyncio.gather(edit.task, return_exceptions=True)
        edit.stranded = False
        if edit.at.job and edit.at.phase in ("queued", "running"):
            errand = asyncio.create_task(self._cancel_job(edit.at.server, edit.at.token, edit.at.job))
            self._errands.add(errand)
            errand.add_done_callback(self._errands.discard)

    async def _cancel_job(self, server: str, token: str, job: str) -> None:
        try:
            await (await self._servers.client(server, token)).cancel(job)
        except MiveError as error:
            log.info("a job could not be cancelled: %s", type(error).__name__)

    def _unfinished(self) -> list[Path]:
        """Folders of edits that somebody should work on; what nobody needs any more is removed."""
        unfinished = []
        for folder in self._folder.iterdir():
            if folder.name in self._edits:
                continue
            # One that is being made this moment has no record yet.
            phase, used = phase_of(folder), max(age_of(folder / RECORD), age_of(folder))
            idle = phase in ("collecting", "failed", "cancelled")
            if time.time() > used + (KEEP_SOURCES_DAYS if idle else KEEP_DAYS) * _DAY:
                shutil.rmtree(folder, ignore_errors=True)
            elif phase == "done":
                remove_sent(folder)
            elif not idle:
                unfinished.append(folder)
        return unfinished
