"""A job as the server tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from mive.base.jobs import FINISHED, USUAL_PRIORITY, JobState, Priority
from mive.client.errors import broken_contract, from_server
from mive.client.events import moved
from mive.client.times import seconds_of, time_of
from mive.errors import MiveError
from mive.media.info import ClipInfo
from mive.request import EditRequest, FrameRange
from mive.v1 import job_pb2
from mive.wire.clip import clip_from_message
from mive.wire.errors import error_from_detail
from mive.wire.jobs import priority_from_message, stage_from_message, state_from_message
from mive.wire.request import Source, request_from_message

IN_MEMORY: Final = "(frames in memory)"
"""Stands for the path of what was never a file."""


@dataclass(frozen=True)
class JobProgress:
    """How far a running job is.

    Attributes:
        stage: what is being done, as `mive.base.progress.Progress` has it; None where this version does not know it.
        share: of the whole job, 0..1.
        eta: seconds until it should be done; None while nobody knows.
    """

    stage: str | None
    share: float
    eta: float | None


@dataclass(frozen=True)
class Job:
    """One edit on the server. Times are the server's, in UTC.

    Attributes:
        job_id: names the job.
        state: what it is doing.
        priority: its place among the others.
        submitted, started, ended, deadline: when; None where that is not so (yet).
        position: jobs that start before it, while it is queued.
        attempts: how often it was started.
        frames: those it edits, handles included; None until the clip was opened.
        finished: those that can be fetched, in ascending ranges.
        last_sequence: of its latest event.
        error: why it failed.
        clip: the source; only from ``get``, and not before the clip was opened.
        request: as it was submitted; only from ``get``. Uploads go by their first file's name.
        progress: how far it is, while it runs.
        labels: what it is called and belongs to.
        retry_of: the job that it repeats.
    """

    job_id: str
    state: JobState
    priority: Priority
    submitted: datetime
    started: datetime | None
    ended: datetime | None
    deadline: datetime | None
    position: int
    attempts: int
    frames: FrameRange | None
    finished: tuple[FrameRange, ...]
    last_sequence: int
    error: MiveError | None
    clip: ClipInfo | None
    request: EditRequest | None
    progress: JobProgress | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    retry_of: str | None = None

    @property
    def has_ended(self) -> bool:
        """It is done, failed or cancelled."""
        return self.state in FINISHED


@dataclass(frozen=True)
class JobPage:
    """Some of the jobs.

    Attributes:
        jobs: newest first, without ``clip`` and ``request``.
        next_page: where to go on; None after the last.
    """

    jobs: tuple[Job, ...]
    next_page: str | None


def job_from_message(message: job_pb2.Job, first: int = 0) -> Job:
    """The job.

    Args:
        first: index in the client's clip of the server's frame 0.

    Raises:
        ServerError: it makes no sense, or is in a state that this version does not know.
    """
    state = state_from_message(message.state)
    if state is None:
        raise broken_contract(f"a job in the state {message.state}")
    with from_server():
        times = {
            name: time_of(getattr(message, name)) if message.HasField(name) else None
            for name in ("started", "ended", "deadline")
        }
        return Job(
            job_id=message.job_id,
            state=state,
            priority=priority_from_message(message.priority) or USUAL_PRIORITY,
            submitted=time_of(message.submitted),
            **times,
            position=message.position,
            attempts=message.attempts,
            frames=moved(message.frames, first) if message.HasField("frames") else None,
            finished=tuple(moved(frames, first) for frames in message.finished_frames),
            last_sequence=message.last_sequence,
            error=error_from_detail(message.error) if message.HasField("error") else None,
            clip=clip_from_message(message.clip) if message.HasField("clip") else None,
            request=request_from_message(message.request, name_source=_name) if message.HasField("request") else None,
            progress=_progress(message.progress) if message.HasField("progress") else None,
            labels=dict(message.labels),
            retry_of=message.retry_of or None,
        )


def _progress(message: job_pb2.JobProgress) -> JobProgress:
    eta = seconds_of(message.eta) if message.HasField("eta") else None
    return JobProgress(stage_from_message(message.stage), message.share, eta)


def _name(source: Source, field: str) -> str:
    match source.WhichOneof("source"):
        case "path":
            return source.path
        case "files" if source.files.files:
            return source.files.files[0].name
    return IN_MEMORY
