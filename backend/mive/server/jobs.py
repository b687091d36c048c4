"""Jobs and events as the store hands them out."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from mive.base.jobs import FINISHED, USUAL_PRIORITY, JobState, Priority
from mive.request import EditRequest, FrameRange
from mive.server.errors import StoreError
from mive.server.rows import Columns
from mive.v1 import job_pb2, media_pb2
from mive.wire.progress import STAGES


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
        patience: seconds within which it must have started.
        handles: frames besides the request's.
        preview_every: steps between two previews; 0 means none.
        watched: it is cancelled when the stream that submitted it ends.
        labels: what it is called and belongs to, for lists.
        retry_of: the job that it repeats.
    """

    owner: str
    request: EditRequest
    priority: Priority = USUAL_PRIORITY
    key: str | None = None
    patience: float | None = None
    handles: Handles = Handles()
    preview_every: int = 0
    watched: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    retry_of: str | None = None


@dataclass(frozen=True)
class Reached:
    """How far a job is that runs.

    Attributes:
        stage: as `mive.base.progress.Progress` has it.
        share: of the whole job, 0..1.
        eta: seconds that were left at ``told``; None while nobody knows.
        told: when, on the steady clock.
    """

    stage: str
    share: float
    eta: float | None
    told: float


@dataclass(frozen=True)
class Job:
    """A job as it stands. Times are seconds since the epoch.

    Attributes:
        request: what to do; None where another version of MIVE wrote what this one cannot read.
        deadline: when it must have started, for people; ``patience`` is what was asked for, in seconds.
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
        retry_of: the job that it repeats.
        reached: how far it is, while it runs.
        fault: what of it cannot be read; such a job is never edited.
    """

    id: str
    owner: str
    request: EditRequest | None
    priority: Priority
    state: JobState
    patience: float | None
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
    retry_of: str | None = None
    reached: Reached | None = None
    fault: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.state in FINISHED


def read_job(row: sqlite3.Row) -> Job:
    """A row of the table ``jobs``, as far as this version can read it; see `Job.fault`."""
    columns = Columns(row)
    first, last = columns.number("first"), columns.number("last")
    return Job(
        id=columns.text("id") or "",
        owner=columns.text("owner") or "",
        request=columns.request("request"),
        priority=columns.priority("priority"),
        state=columns.state("state"),
        patience=columns.seconds("patience"),
        deadline=columns.seconds("deadline"),
        created=columns.seconds("created") or 0.0,
        updated=columns.seconds("updated") or 0.0,
        started=columns.seconds("started"),
        ended=columns.seconds("ended"),
        attempts=columns.number("attempts") or 0,
        cancelling=row["cancelling"] is not None,
        window=columns.number("window"),
        handles=Handles(columns.number("before") or 0, columns.number("after") or 0),
        preview_every=columns.number("preview_every") or 0,
        watched=bool(row["watched"]),
        clip=columns.data("clip"),
        frames=None if first is None or last is None else columns.frames(first, last),
        last_event=columns.number("last_event") or 0,
        error=columns.error("error"),
        manifest=columns.text("manifest"),
        retry_of=columns.text("retry_of"),
        reached=_reached(columns) if row["state"] == "running" else None,
        fault=", ".join(columns.faults),
    )


def _reached(columns: Columns) -> Reached | None:
    stage, told = columns.text("stage"), columns.seconds("told")
    if stage not in STAGES or told is None:
        return None
    return Reached(stage, min(columns.seconds("share") or 0.0, 1.0), columns.seconds("eta"), told)


def read_clip(job: Job) -> media_pb2.ClipInfo | None:
    """The job's clip, once it was opened; None also where another version of MIVE wrote it."""
    if job.clip is not None:
        with contextlib.suppress(DecodeError):
            return media_pb2.ClipInfo.FromString(job.clip)
    return None


def unreadable(fault: str) -> StoreError:
    """Why a job fails that another version of MIVE stored."""
    return StoreError(
        f"this job was stored by another version of MIVE, and this one cannot read its {fault}",
        expected="jobs of this version, or of one before it",
        fix="Submit it again",
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
