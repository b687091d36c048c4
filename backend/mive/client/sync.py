"""The client for everyone else: the same methods, each of which waits for its end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar, Unpack

from mive.base.jobs import JobState, Send
from mive.base.samples import PixelFormat
from mive.client.address import Tls
from mive.client.aio import AsyncClient, SubmitOptions
from mive.client.errors import closed
from mive.client.events import Event
from mive.client.info import ServerInfo
from mive.client.jobs import Job, JobPage
from mive.client.uploads import Sent, Source, Upload
from mive.manifest import Manifest
from mive.media.info import Pixels
from mive.request import EditRequest, FrameRange

_LEAVING: Final = 10.0
"""Seconds that a call which is broken off, as by Ctrl-C, has to leave things in order."""

_T = TypeVar("_T")


class Client:
    """Renders at a server. Every method is that of :class:`AsyncClient`; several threads may call at once.

    Calls run on a thread of the client's own, until it is closed. Use it in a ``with`` block.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        tls: Tls | None = None,
        insecure: bool = False,
        patience: float = 60.0,
    ) -> None:
        self._core = AsyncClient(address, token=token, tls=tls, insecure=insecure, patience=patience)
        self._lock = threading.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mive-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection and whatever still waits on it. Submitted jobs go on."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            ended = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        ended.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def server_info(self) -> ServerInfo:
        """See :meth:`AsyncClient.server_info`."""
        return self._run(self._core.server_info())

    def upload(self, source: Source, sent: Sent = lambda received: None) -> str:
        """See :meth:`AsyncClient.upload`."""
        return self._run(self._core.upload(source, sent))

    def uploads(self) -> tuple[Upload, ...]:
        """See :meth:`AsyncClient.uploads`."""
        return self._run(self._core.uploads())

    def delete_upload(self, upload_id: str) -> None:
        """See :meth:`AsyncClient.delete_upload`."""
        self._run(self._core.delete_upload(upload_id))

    def submit(self, request: EditRequest, **options: Unpack[SubmitOptions]) -> Job:
        """See :meth:`AsyncClient.submit`."""
        return self._run(self._core.submit(request, **options))

    def preview(
        self, request: EditRequest, *, send: Send = "auto", handles: tuple[int, int] = (0, 0), preview_every: int = 1
    ) -> Iterator[Event]:
        """See :meth:`AsyncClient.preview`."""
        return self._iterate(self._core.preview(request, send=send, handles=handles, preview_every=preview_every))

    def watch(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """See :meth:`AsyncClient.watch`."""
        return self._iterate(self._core.watch(job_id, after))

    def get(self, job_id: str) -> Job:
        """See :meth:`AsyncClient.get`."""
        return self._run(self._core.get(job_id))

    def jobs(
        self,
        states: Sequence[JobState] = (),
        *,
        most: int = 100,
        page: str | None = None,
        labels: Mapping[str, str] = MappingProxyType({}),
    ) -> JobPage:
        """See :meth:`AsyncClient.jobs`."""
        return self._run(self._core.jobs(states, most=most, page=page, labels=labels))

    def cancel(self, job_id: str) -> Job:
        """See :meth:`AsyncClient.cancel`."""
        return self._run(self._core.cancel(job_id))

    def retry(self, job_id: str) -> Job:
        """See :meth:`AsyncClient.retry`."""
        return self._run(self._core.retry(job_id))

    def fetch(
        self,
        job_id: str,
        frames: Sequence[FrameRange] | FrameRange | None = None,
        *,
        pixel_format: PixelFormat | None = None,
        wait: bool = False,
        into_memory: bool = False,
    ) -> Iterator[tuple[int, Pixels]]:
        """See :meth:`AsyncClient.fetch`."""
        return self._iterate(
            self._core.fetch(job_id, frames, pixel_format=pixel_format, wait=wait, into_memory=into_memory)
        )

    def export(self, job_id: str, name: str, folder: Path, frames: FrameRange | None = None) -> tuple[Path, ...]:
        """See :meth:`AsyncClient.export`."""
        return self._run(self._core.export(job_id, name, folder, frames))

    def manifest(self, job_id: str) -> Manifest:
        """See :meth:`AsyncClient.manifest`."""
        return self._run(self._core.manifest(job_id))

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Runs it on the client's thread; an interrupt here ends it there, in order."""
        left = threading.Event()

        async def run() -> _T:
            try:
                return await work
            finally:
                left.set()

        with self._lock:
            if self._closed:
                work.close()
                raise closed()
            future = asyncio.run_coroutine_threadsafe(run(), self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise closed() from None
        except BaseException:
            if future.cancel():
                left.wait(_LEAVING)
            raise

    def _iterate(self, stream: AsyncGenerator[_T, None]) -> Iterator[_T]:
        end = object()

        async def after() -> _T | object:
            return await anext(stream, end)

        try:
            while (item := self._run(after())) is not end:
                yield item  # type: ignore[misc]
        finally:
            # A client that is being closed closes its streams itself.
            if not self._closed:
                self._run(stream.aclose())

    async def _end(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._core.close()
        await self._loop.shutdown_asyncgens()
