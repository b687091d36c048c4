"""Brings an edit forward: from frames that were handed over to edited frames in the cache."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mive.base.samples import sample_of
from mive.errors import MediaError, MiveError, OutputError, RequestError
from mive_bridge.edit import Edit
from mive_bridge.frames import FrameCache
from mive_bridge.images import Format
from mive_bridge.masks import read_mask, write_mask
from mive_bridge.previews import EVERY
from mive_bridge.prints import thumbprint
from mive_bridge.puts import MixedSizes
from mive_bridge.rules import facts_of
from mive_bridge.servers import Servers

if TYPE_CHECKING:
    from mive.base.jobs import Send
    from mive.client import AsyncClient, ServerInfo
    from mive.media import Clip, Pixels
    from mive.request import EditRequest, FrameRange

log = logging.getLogger("mive.bridge.work")

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0


class Work:
    """What can be done for edits; any number of them at one time."""

    def __init__(self, servers: Servers, cache: FrameCache) -> None:
        self._servers = servers
        self._cache = cache

    async def forward(self, edit: Edit) -> None:
        """Goes on until nothing more can be done for an edit without the plugin."""
        pause = _FIRST_PAUSE
        while edit.ready:
            try:
                if await self._steps(edit):
                    pause = _FIRST_PAUSE
                    continue
            except MiveError as error:
                return await self._fail(edit, error)
            except OSError as error:
                return await self._fail(edit, _disk_error(error))
            except Exception:
                log.exception("unexpected error")
                return await self._fail(edit, MiveError("the bridge failed", fix="See its log, and press Analyse"))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _steps(self, edit: Edit) -> bool:
        """False where it has to be tried again after a pause."""
        await asyncio.to_thread(_load)
        try:
            await self._step(edit)
        except MiveError as error:
            if not await self._survives(edit, error):
                raise
            return False
        return True

    async def _step(self, edit: Edit) -> None:
        if edit.order.source is not None or edit.order.mattes is not None:
            await self._look_at_files(edit)
        if edit.missing:
            # Also where somebody removed what was handed over.
            edit.at.phase = "collecting"
            return
        edit.at.made = edit.everything()
        if not edit.lacking:
            return await self._finish(edit, edit.at.text)
        if edit.at.phase == "collecting":
            edit.at.phase, edit.at.text = "queued", ""
        await asyncio.to_thread(edit.save)
        client = await self._servers.client(edit.at.server, edit.at.token)
        if not edit.at.job:
            await self._submit(edit, client)
        await self._follow(edit, client)

    async def _look_at_files(self, edit: Edit) -> None:
        """Finds the frames and facts of files; what was made from other facts is not shown any more."""
        facts = await asyncio.to_thread(facts_of, edit)
        if edit.at.facts and edit.at.facts != facts and edit.at.made:
            edit.forget()
        edit.at.facts = facts
        if edit.frames is None and edit.order.source is not None:
            clip = await asyncio.to_thread(_open, edit.order.source)
            edit.at.first, edit.at.last = 0, clip.info.frames - 1
        await asyncio.to_thread(edit.save)

    async def _submit(self, edit: Edit, client: AsyncClient) -> None:
        from mive_bridge.parcel import as_images, packed

        assert edit.frames is not None
        info = await client.server_info()
        edit.stranded, edit.at.text = False, ""
        made = edit.at.made
        request = await asyncio.to_thread(
            packed, edit.parcel, edit.order, edit.frames, edit.puts, lambda: edit.everything() == made
        )
        async with edit.writing:
            await asyncio.to_thread(edit.puts.spend)
        send = await asyncio.to_thread(self._way, edit, info, request)
        if send == "upload":
            request = await asyncio.to_thread(as_images, edit.parcel, request)
        while not edit.at.job:
            job = await client.submit(
                request, send=send, key=edit.key, priority="interactive", preview_every=EVERY, wait_for_room=True
            )
            if job.state in ("failed", "cancelled"):
                # That of an attempt that is over, of which this bridge knows nothing any more.
                edit.at.attempt += 1
            else:
                edit.at.job = job.job_id
        await asyncio.to_thread(edit.save)
        log.info("submitted job %s by %s", job.job_id, send)

    def _way(self, edit: Edit, info: ServerInfo, request: EditRequest) -> Send:
        """By path where the server should see this machine's files, else through memory, else by upload."""
        from mive.client import Address

        if edit.at.by_upload or not Address.parse(edit.at.server or None).local:
            return "upload"
        if info.server_paths:
            return "path"
        inside = request.clip.startswith(str(edit.parcel)) and info.shared_memory
        return "memory" if inside and _size(edit.parcel) <= info.limits.region_bytes else "upload"

    async def _follow(self, edit: Edit, client: AsyncClient) -> None:
        from mive.client import Cancelled, Done, Failed, Preview, Progressed, Queued, Warned, WindowFinished

        async for event in client.watch(edit.at.job):
            edit.stranded, edit.at.text = False, ""
            match event:
                case Queued():
                    edit.at.phase = "queued"
                case Progressed(eta=eta):
                    edit.at.phase, edit.eta = "running", eta
                case Warned(warnings=warnings):
                    edit.told = " ".join(warnings)
                case Preview() if edit.sheet is not None:
                    await asyncio.to_thread(edit.sheet.show, event)
                case WindowFinished(frames=frames):
                    edit.at.phase = "running"
                    await self._fetch(edit, client, frames.indices())
                case Done(frames=frames, warnings=warnings):
                    await self._fetch(edit, client, frames.indices())
                    return await self._finish(edit, " ".join(warnings))
                case Failed(error=error):
                    raise error
                case Cancelled(reason=reason):
                    edit.at.phase, edit.at.text = "cancelled", reason
                    return await asyncio.to_thread(edit.save)

    async def _fetch(self, edit: Edit, client: AsyncClient, indices: range) -> None:
        """Fetches those of the server's frames that are not in the cache."""
        from mive.request import FrameRange

        lacking = set(edit.lacking)
        wanted = [index for index in indices if index + edit.first_index in lacking]
        for run in FrameRange.runs(wanted):
            sources = await asyncio.to_thread(self._sources, edit, run)
            async for index, colour in client.fetch(edit.at.job, run):
                await asyncio.to_thread(self._keep, edit, index + edit.first_index, colour, sources)

    def _sources(self, edit: Edit, frames: FrameRange) -> Iterator[Pixels]:
        """The frames as they were sent; none where all masks are known."""
        if all(edit.mask(index + edit.first_index).is_file() for index in frames.indices()):
            return iter(())
        path = edit.order.source or str(edit.parcel / "clip")
        return _open(path).read(frames)

    def _keep(self, edit: Edit, number: int, colour: Pixels, sources: Iterator[Pixels]) -> None:
        source = next(sources, None)
        if source is not None:
            _check_like(colour, source)
            mask, look = (colour != source).any(axis=2), thumbprint(source)
            write_mask(edit.mask(number), mask, look)
        else:
            mask, look = read_mask(edit.mask(number), colour)
        height, width = mask.shape
        form = Format(width, height, "rgba", sample_of(colour.dtype).host)
        self._cache.save(edit.name_of(number), colour, mask, form, look)

    async def _finish(self, edit: Edit, text: str) -> None:
        if edit.lacking:
            # More frames than the cache holds come again when they are asked for.
            log.warning("%d edited frames did not fit into the cache", len(edit.lacking))
        edit.at.phase, edit.at.text, edit.eta = "done", text, None
        await asyncio.to_thread(edit.save)
        await asyncio.to_thread(edit.remove_parcel)

    async def _fail(self, edit: Edit, error: MiveError) -> None:
        log.info("an edit failed: %s", type(error).__name__)
        log.debug("an edit failed: %s", error)
        edit.at.phase, edit.at.text, edit.stranded = "failed", error.message(), False
        edit.at.changed = edit.at.changed or isinstance(error, MixedSizes)
        try:
            await asyncio.to_thread(edit.save)
        except OSError as trouble:
            log.warning("how an edit stands cannot be kept: %s", trouble.strerror)

    async def _survives(self, edit: Edit, error: MiveError) -> bool:
        """Whether another attempt can help; what that needs is done here."""
        from mive.client import Busy, NotFound, TimedOut, TokenRefused, Unreachable
        from mive.client.errors import ServerError

        match error:
            case Unreachable() | Busy() | TimedOut():
                edit.at.text, edit.stranded = error.message(), True
                if isinstance(error, Unreachable):
                    await self._servers.unreachable(edit.at.server)
                return True
            case TokenRefused():
                self._servers.forget(edit.at.server, edit.at.token)
            case NotFound() if edit.at.job:
                return await self._made_anew(edit)
            case ServerError() if "idempotency key" in error.what:
                return await self._made_anew(edit)
            case _ if _is_about_paths(error) and not edit.at.by_upload and edit.parcel.is_dir():
                edit.at.by_upload = True
                return await self._made_anew(edit)
        return False

    async def _made_anew(self, edit: Edit) -> bool:
        """The job is of no use: another one takes its place, if what it needs is still here."""
        edit.at.job = ""
        edit.at.attempt += 1
        await asyncio.to_thread(edit.save)
        return edit.parcel.is_dir()


def _load() -> None:
    """Loads what takes seconds, so that nobody who is answered waits for it. Blocks."""
    for name in ("mive.client", "mive_bridge.parcel"):
        import_module(name)


def _disk_error(error: OSError) -> MiveError:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            f"the bridge's disk is full ({reason})",
            expected="room for the frames on their way and the edited ones",
            fix='Free some space ("mive-bridge --doctor" says where), and press Analyse',
        )
    return MediaError(f"a file cannot be read or written: {error}", fix="Check the disk, and press Analyse")


def _is_about_paths(error: MiveError) -> bool:
    """The server may not read where this machine's files are, or is at the far end of a tunnel and sees other files."""
    outside = isinstance(error, RequestError) and (error.field or "").endswith(".path")
    return outside or type(error) is MediaError


def _open(path: str) -> Clip:
    from mive.media import open_clip

    return open_clip(path)


def _check_like(colour: Pixels, source: Pixels) -> None:
    if colour.shape != source.shape or colour.dtype != source.dtype:
        raise MiveError(
            f"the server sent a frame of {colour.shape[1]}x{colour.shape[0]} {colour.dtype}",
            expected=f"{source.shape[1]}x{source.shape[0]} {source.dtype}, as the source",
            fix="Compare the versions of MIVE here and at the server",
        )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
