"""Jobs and events as the store hands them out."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from mive.base.jobs import FINISHED, PRIORITIES, USUAL_PRIORITY, JobState, Priority
from mive.request import EditRequest, FrameRange
from mive.server.errors import StoreError
from mive.v1 import job_pb2


@dataclass(frozen=True)
class Handles:
    """Frames to edit besides the request's range, as far as the clip has them."""

    before: int = 0
    after: int = 0


@dataclass(frozen=True)
class Submission:
    """A job as it is asked for.

    Attributes:
        owner: hash of the token that submits it.
        request: what to do.
        priority: interactive jobs come before all batch jobs.
        key: idempotency key; the same key of the same owner names the same job.
        deadline: when it must have started, in seconds since the epoch.
        handles: frames besides the request's.
        preview_every: steps between two previews; 0 means none.
        watched: it is cancelled when the stream that submitted it ends.
    """

    owner: str
    request: EditRequest
    priority: Priority = USUAL_PRIORITY
    key: str | None = None
    deadline: float | None = None
    handles: Handles = Handles()
    preview_every: int = 0
    watched: bool = False


@dataclass(frozen=True)
class Job:
    """A job as it stands. Times are seconds since the epoch.

    Attributes:
        started: when it first started; deadlines only count before that.
        ended: when it was done, failed or cancelled.
        attempts: how often it was started.
        cancelling: it runs, but is to stop at the next step.
        window: frames per window instead of the request's, after it ran out of memory.
        handles, preview_every, watched: as they were asked for.
        clip: serialised ``mive.v1.ClipInfo`` of its source, once that was opened.
        frames: what it edits, once its clip was opened.
        last_event: sequence number of its latest event.
        error: `MiveError.to_dict` of why it failed.
        manifest: JSON of its manifest, once done.
    """

    id: str
    owner: str
    request: EditRequest
    priority: Priority
    state: JobState
    deadline: float | None
    created: float
    updated: float
    started: float | None
    ended: float | None
    attempts: int
    cancelling: bool
    window: int | None
    handles: Handles
    preview_every: int
    watched: bool
    clip: bytes | None
    frames: FrameRange | None
    last_event: int
    error: dict[str, str | None] | None
    manifest: str | None

    @property
    def finished(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.state in FINISHED


def read_job(row: sqlite3.Row) -> Job:
    """A row of the table ``jobs``."""
    return Job(
        id=row["id"],
        owner=row["owner"],
        request=EditRequest.from_json(row["request"]),
        priority=PRIORITIES[row["priority"]],
        state=row["state"],
        deadline=row["deadline"],
        created=row["created"],
        updated=row["updated"],
        started=row["started"],
        ended=row["ended"],
        attempts=row["attempts"],
        cancelling=row["cancelling"] is not None,
        window=row["window"],
        handles=Handles(row["before"], row["after"]),
        preview_every=row["preview_every"],
        watched=bool(row["watched"]),
        clip=row["clip"],
        frames=None if row["first"] is None else FrameRange(row["first"], row["last"]),
        last_event=row["last_event"],
        error=None if row["error"] is None else json.loads(row["error"]),
        manifest=row["manifest"],
    )


def read_event(row: sqlite3.Row) -> job_pb2.JobEvent:
    """A row of the table ``events``.

    Raises:
        StoreError: another version of MIVE wrote it.
    """
    event = read_message(row["message"])
    event.sequence, event.job_id = row["sequence"], row["job"]
    event.time.FromMilliseconds(round(row["time"] * 1000))
    return event


def read_message(stored: object) -> job_pb2.JobEvent:
    """What the column ``message`` of the table ``events`` holds.

    Raises:
        StoreError: another version of MIVE wrote it.
    """
    try:
        if isinstance(stored, bytes):
            return job_pb2.JobEvent.FromString(stored)
    except DecodeError:
        pass
    raise StoreError(
        "what happened to this job was written down by another version of MIVE",
        expected="a job of this version",
        fix="Ask how the job stands, and for its frames; they are as they were",
    )
