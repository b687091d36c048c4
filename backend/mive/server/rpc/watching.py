"""Follows what happens to a job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from mive.base.jobs import FINISHED
from mive.server.events import queued
from mive.server.jobs import Job
from mive.server.rpc.messages import Redact, complete_event, timestamp
from mive.server.rpc.pulse import Pulse
from mive.server.store import JobStore
from mive.v1 import job_pb2

PAGE: Final = 64
"""Events read at one time: all that a slow reader makes the server hold."""

MOST_SEQUENCE: Final = 2**63 - 1
"""The largest that the store can compare with."""


@dataclass(frozen=True)
class Watching:
    """Reads events from the store whenever it changes.

    Attributes:
        redact: takes the server's own paths out of texts.
    """

    store: JobStore
    pulse: Pulse
    redact: Redact

    async def follow(self, owner: str, job_id: str, after: int = 0) -> AsyncIterator[job_pb2.JobEvent]:
        """All events with a higher sequence number than ``after``, then those to come, until the job ends.

        A new place in the queue is told under the number of the event before it.

        Raises:
            JobNotFound: the owner has no such job.
        """
        told = None
        after = min(after, MOST_SEQUENCE)
        while True:
            beat = self.pulse.count
            ended, job, events, position = await asyncio.to_thread(self._look, owner, job_id, after)
            for event in events:
                yield complete_event(event, job, position, self.redact)
                after = event.sequence
                told = position if event.HasField("queued") else told
            if any(event.WhichOneof("event") in FINISHED for event in events) or (ended and not events):
                return
            if position is not None and position != told:
                moved = queued(job.attempts)
                moved.sequence, moved.job_id = after, job.id
                moved.time.CopyFrom(timestamp(time.time()))
                yield complete_event(moved, job, position, self.redact)
                told = position
            if len(events) < PAGE:
                await self.pulse.after(beat)

    def _look(self, owner: str, job_id: str, after: int) -> tuple[bool, Job, list[job_pb2.JobEvent], int | None]:
        # A job that had ended before has all its events; they may tell of its end, so it is looked at after them too.
        ended = self.store.get(owner, job_id).finished
        events = self.store.events(owner, job_id, after, PAGE)
        position = self.store.position(owner, job_id)
        return ended, self.store.get(owner, job_id), events, position
