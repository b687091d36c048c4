"""All edits, and the rules that say when a frame is right."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self, TypeVar, TypeVarTuple

from mive.errors import MiveError
from mive_bridge.edit import Edit, Standing, phase_of
from mive_bridge.files import age_of, private_folder
from mive_bridge.frames import FrameCache
from mive_bridge.images import Format, Image, Seen
from mive_bridge.messages import Message, Refused
from mive_bridge.names import IMAGES, frame_key
from mive_bridge.orders import Order
from mive_bridge.prints import alike, shows_another
from mive_bridge.puts import Put
from mive_bridge.region import Region
from mive_bridge.servers import Servers
from mive_bridge.work import Work, facts_of

log = logging.getLogger("mive.bridge.edits")

KEEP_DAYS: Final = 30
"""How long an edit is remembered that nobody asks about."""

_DAY: Final = 86400.0
_THREADS: Final = 4
_FACTS_SECONDS: Final = 1.0
"""How old the facts of files may be when frames are shown."""

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

Answer = tuple[str, dict[str, str]]
"""Type and fields of an answer."""

Verdict = Literal["right", "changed", "unknown"]


@dataclass(frozen=True)
class Asked:
    """A frame that is asked for, or handed over.

    Attributes:
        images: those that the edit is made from, as they are now.
    """

    edit: str
    number: int
    images: dict[str, Seen]

    @classmethod
    def parse(cls, message: Message) -> Self:
        """From a ``put`` or ``frame``.

        Raises:
            Refused: a field is missing or malformed.
        """
        images = {
            name: Seen.parse(message.fields[name], message.text(f"{name}_print"))
            for name in IMAGES
            if name in message.fields
        }
        return cls(message.text("edit"), message.whole("frame", 2**31 - 1), images)

    @property
    def key(self) -> str:
        """The frame's name."""
        return frame_key(self.edit, self.number, {name: seen.fingerprint for name, seen in self.images.items()})


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
        self._folder = folder
        self._cache = cache
        self._servers = servers
        self._work = Work(servers, cache)
        self._edits: dict[str, Edit] = {}
        self._opening = asyncio.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, "answers")
        self._facts: dict[str, tuple[float, str]] = {}
        self._errands: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Edits are being made, by servers that answer."""
        return any(edit.task and not edit.task.done() and not edit.stranded for edit in self._edits.values())

    async def resume(self) -> None:
        """Goes on with what an earlier bridge left unfinished, and forgets what nobody has asked about for long."""
        for folder in await self._in_thread(self._unfinished):
            if (edit := await self._find(folder.name)) is not None:
                log.info("resuming an edit")
                self._go(edit)

    async def close(self) -> None:
        """Stops working. Jobs at servers go on."""
        tasks = [edit.task for edit in self._edits.values() if edit.task] + list(self._errands)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown()

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
            await self._in_thread(edit.save)
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
        _require_images(edit, asked)
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
        _require_images(edit, asked)
        verdict = await self._judge(edit, asked, look)
        if verdict == "changed":
            edit.at.changed = True
            return "miss", {"state": "changed"}
        if verdict == "right" and edit.has(asked.number):
            if region is None:
                raise Refused("There is no memory: a region comes first.")
            (target,) = region.images([wanted])
            if await self._in_thread(self._cache.copy, edit.name_of(asked.number), target, wanted):
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
            await self._in_thread(edit.save)
        return "state", edit.state()

    async def _judge(self, edit: Edit, asked: Asked, look: str) -> Verdict:
        """Whether what was made for this number is right for the images that the plugin has now."""
        if edit.order.images:
            put = edit.puts.by_number.get(asked.number)
            if put is None:
                return "unknown"
            if put.key != asked.key and not alike(put.images, asked.images):
                return "changed"
        if edit.at.facts and await self._facts_of(edit) != edit.at.facts:
            return "changed"
        if edit.order.source is not None and edit.has(asked.number):
            facts = await self._in_thread(self._cache.facts, edit.name_of(asked.number))
            if facts is not None and look and shows_another(look, facts.source):
                return "changed"
        return "right"

    async def _facts_of(self, edit: Edit) -> str:
        """The facts of its files as they are now; empty where one is gone."""
        seen, facts = self._facts.get(edit.order.key, (0.0, ""))
        if time.monotonic() > seen + _FACTS_SECONDS:
            try:
                facts = await self._in_thread(facts_of, edit)
            except (MiveError, OSError):
                facts = ""
            self._facts[edit.order.key] = time.monotonic(), facts
        return facts

    async def _keep(self, edit: Edit, put: Put, images: Mapping[str, Image]) -> None:
        former = edit.puts.by_number.get(put.number)
        same = former is not None and (former.key, former.premultiplied) == (put.key, put.premultiplied)
        if same and (edit.at.made or put.number in edit.puts.present):
            return
        await self._in_thread(edit.puts.write, put, images)
        if former is not None and not same and edit.at.made:
            await self._stop(edit)
            edit.forget()
            await self._in_thread(edit.remove_made)
            await self._in_thread(edit.save)
        await self._in_thread(edit.puts.note, put)

    async def _begin(self, order: Order, server: str, token: str) -> Edit:
        def make() -> Edit:
            private_folder(self._folder / order.key)
            edit = Edit(self._folder / order.key, order, Standing(server=server, token=token), self._cache)
            edit.save()
            return edit

        async with self._opening:
            if order.key not in self._edits:
                self._edits[order.key] = await self._in_thread(make)
                log.info("a new edit of %d instances", len(order.captions))
        return self._edits[order.key]

    async def _find(self, key: str) -> Edit | None:
        """The edit of that name, in memory or on disk."""
        if key in self._edits:
            return self._edits[key]
        if len(key) != 64 or not key.isalnum():
            return None
        async with self._opening:
            if key not in self._edits:
                try:
                    self._edits[key] = await self._in_thread(Edit.open, self._folder / key, self._cache)
                except (OSError, ValueError, KeyError, TypeError, AttributeError, Refused):
                    return None
        return self._edits[key]

    async def _restart(self, edit: Edit) -> None:
        """Starts afresh what failed, was cancelled, or was made from a source that has changed."""
        if edit.at.phase == "done" and edit.at.facts:
            self._facts.pop(edit.order.key, None)
            edit.at.changed = edit.at.changed or await self._facts_of(edit) != edit.at.facts
        if edit.at.phase not in ("failed", "cancelled") and not edit.at.changed:
            return
        await self._stop(edit)
        async with edit.writing:
            edit.at.attempt += 1
            edit.at.job = edit.at.text = ""
            edit.eta = None
            if edit.at.changed:
                edit.forget()
                await self._in_thread(edit.puts.clear)
            elif edit.at.made and edit.parcel.is_dir():
                edit.at.phase = "queued"
            else:
                edit.forget()
            await self._in_thread(edit.remove_made)
            await self._in_thread(edit.save)

    def _go(self, edit: Edit) -> None:
        """Has somebody work on it, if there is something to do and nobody does."""
        if edit.ready and (edit.task is None or edit.task.done()):
            if edit.frames is not None:
                edit.at.phase = "queued"
            edit.task = asyncio.create_task(self._work.forward(edit))

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

    async def _in_thread(self, function: Callable[[*_Ts], _T], *arguments: *_Ts) -> _T:
        """In threads of their own, so that nothing that takes long keeps answers waiting."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _unfinished(self) -> list[Path]:
        """Folders of edits that somebody should work on; those that are too old are removed."""
        oldest = time.time() - KEEP_DAYS * _DAY
        for folder in self._folder.iterdir():
            if age_of(folder / "edit.json") < oldest:
                shutil.rmtree(folder, ignore_errors=True)
        return [folder for folder in self._folder.iterdir() if phase_of(folder) in ("queued", "running")]


def _require_images(edit: Edit, asked: Asked) -> None:
    if tuple(asked.images) != edit.order.images:
        expected = ", ".join(edit.order.images) or "no images"
        raise Refused(f"The edit is made from {expected}; the request has others.")
    if "source" in asked.images and asked.images["source"].format.components == "alpha":
        raise Refused("The source has no colour.")
