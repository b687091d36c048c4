"""Follows what happens to a job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from mive.base.jobs import FINISHED
from mive.server.events import queued
from mive.server.rpc.board import Board
from mive.server.rpc.messages import Redact, complete_event
from mive.server.store import JobStore, Standing
from mive.v1 import job_pb2

PAGE: Final = 64
"""Events read at one time: all that a slow reader makes the server hold."""

MOST_SEQUENCE: Final = 2**63 - 1
"""The largest that the store can compare with."""

REST_SECONDS: Final = 0.0025
"""For each who watches anything: how long all of them rest between two looks. Of progress only the latest is told."""


_Looked = tuple[bool, list[job_pb2.JobEvent]]


@dataclass(frozen=True)
class Watching:
    """Reads events from the store whenever their job has changed.

    Attributes:
        board: says when.
        redact: takes the server's own paths out of texts.
    """

    store: JobStore
    board: Board
    redact: Redact
    _looking: dict[object, asyncio.Task[_Looked]] = field(default_factory=dict)

    async def follow(self, owner: str, job_id: str, after: int = 0) -> AsyncIterator[job_pb2.JobEvent]:
        """All events with a higher sequence number than ``after``, then those to come, until the job ends.

        A new place in the queue is told under the number of the event before it.

        Raises:
            JobNotFound: the owner has no such job.
        """
        with self.board.watcher():
            async for event in self._follow(owner, job_id, min(after, MOST_SEQUENCE)):
                yield event

    async def _follow(self, owner: str, job_id: str, after: int) -> AsyncIterator[job_pb2.JobEvent]:
        told = None
        while True:
            standing = self.board.of(job_id)
            ended, events = await self._look_together(owner, job_id, after, standing)
            for event in events:
                yield event
                after = event.sequence
                told = event.queued.position if event.HasField("queued") else told
            if any(event.WhichOneof("event") in FINISHED for event in events) or (ended and not events):
                return
            if standing is not None and standing.position not in (None, told):
                yield _moved(job_id, after, standing)
                told = standing.position
            if len(events) < PAGE:
                await self._rest()
                await self.board.change(job_id, standing)

    async def _rest(self) -> None:
        """Until the next moment at which all who watch look, so that those of one job look together."""
        period = self.board.watchers * REST_SECONDS
        await asyncio.sleep(period - asyncio.get_running_loop().time() % period)

    async def _look_together(self, owner: str, job_id: str, after: int, standing: Standing | None) -> _Looked:
        """Look once for all who want to know the same at this moment."""
        # Where the board knows nothing, only what is asked between two changes of the store is the same.
        key = (owner, job_id, after, self.board.beat if standing is None else standing)
        look = self._looking.get(key)
        if look is None:
            look = asyncio.create_task(asyncio.to_thread(self._look, owner, job_id, after, standing))
            self._looking[key] = look
            look.add_done_callback(lambda _: self._looking.pop(key))
        # One of them may go; the others still want to know.
        return await asyncio.shield(look)

    def _look(self, owner: str, job_id: str, after: int, standing: Standing | None) -> _Looked:
        # A job that had ended before has all its events.
        ended = standing is None and self.store.get(owner, job_id).finished
        events = self.store.events(owner, job_id, after, PAGE)
        if any(event.WhichOneof("event") in ("queued", *FINISHED) for event in events):
            # They may tell of its end, so it is looked at after them.
            job, position = self.store.get(owner, job_id), self.store.position(owner, job_id)
            events = [complete_event(event, job, position, self.redact) for event in events]
        return ended, events


def _moved(job_id: str, after: int, standing: Standing) -> job_pb2.JobEvent:
    """The place in the queue has changed, which is no event of its own."""
    moved = queued(standing.attempts)
    moved.sequence, moved.job_id = after, job_id
    moved.queued.position = standing.position or 0
    moved.time.FromMilliseconds(round(time.time() * 1000))
    return moved
