"""The store's jobs and events as messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from mive import errors as known_errors
from mive.errors import MiveError
from mive.request import FrameRange
from mive.server.errors import DeadlinePassed
from mive.server.jobs import Job, Reached, read_clip
from mive.server.rpc.refusals import code_of
from mive.v1 import job_pb2
from mive.wire.errors import error_to_detail
from mive.wire.jobs import priority_to_message, stage_to_message, state_to_message
from mive.wire.request import range_to_message, request_to_message


class Redact(Protocol):
    """Takes the server's own paths out of a text; ``apart`` keeps what lay apart under different names."""

    def __call__(self, text: str, *, apart: bool = False) -> str: ...


def job_to_message(
    job: Job,
    position: int | None,
    frames: Iterable[int],
    redact: Redact,
    labels: Mapping[str, str] = MappingProxyType({}),
    now: float = 0.0,
) -> job_pb2.Job:
    """A job without its clip and request.

    Args:
        now: on the steady clock, from which on the rest of the time counts.
        position: jobs that start before it, where it waits.
        frames: indices of the frames that can be fetched, ascending.
        redact: for the texts of errors.
    """
    message = job_pb2.Job(
        job_id=job.id,
        state=state_to_message(job.state),
        priority=priority_to_message(job.priority),
        submitted=timestamp(job.created),
        position=position or 0,
        attempts=job.attempts,
        finished_frames=[range_to_message(part) for part in FrameRange.runs(frames)],
        last_sequence=job.last_event,
        labels=labels,
        retry_of=job.retry_of or "",
    )
    if job.reached is not None:
        message.progress.CopyFrom(_progress(job.reached, now))
    for name in ("started", "ended", "deadline"):
        if (seconds := getattr(job, name)) is not None:
            getattr(message, name).CopyFrom(timestamp(seconds))
    if job.frames is not None:
        message.frames.CopyFrom(range_to_message(job.frames))
    if job.error is not None:
        error = stored_error(job.error, redact)
        message.error.CopyFrom(error_to_detail(error))
        message.error_code = code_of(error)
    return message


def _progress(reached: Reached, now: float) -> job_pb2.JobProgress:
    message = job_pb2.JobProgress(stage=stage_to_message(reached.stage), share=reached.share)
    if reached.eta is not None:
        left = max(reached.eta - max(now - reached.told, 0.0), 0.0)
        message.eta.FromMilliseconds(round(left * 1000))
    return message


def add_details(message: job_pb2.Job, job: Job, redact: Redact) -> None:
    """Add what only GetJob tells: the request, and the clip once it was opened."""
    if job.request is not None:
        message.request.CopyFrom(request_to_message(job.request.with_sources(redact)))
    if (clip := read_clip(job)) is not None:
        clip.path = redact(clip.path)
        files = [redact(path) for path in clip.files]
        del clip.files[:]
        clip.files.extend(files)
        message.clip.CopyFrom(clip)


def complete_event(event: job_pb2.JobEvent, job: Job, position: int | None, redact: Redact) -> job_pb2.JobEvent:
    """A stored event with what its job knows: where it waits, why it failed, its manifest."""
    match event.WhichOneof("event"):
        case "queued":
            event.queued.position = position or 0
        case "done":
            event.done.manifest_json = redact(job.manifest or "", apart=True)
            event.done.warnings[:] = [redact(warning) for warning in event.done.warnings]
        case "warned":
            event.warned.warnings[:] = [redact(warning) for warning in event.warned.warnings]
        case "failed" if job.error is not None:
            error = stored_error(job.error, redact)
            event.failed.error.CopyFrom(error_to_detail(error))
            event.failed.code = code_of(error)
    return event


def stored_error(stored: Mapping[str, Any], redact: Callable[[str], str] = str) -> MiveError:
    """The error that `MiveError.to_dict` was stored of; a kind that is not stored is a plain `MiveError`."""
    name, texts = stored["error"], (redact(stored[part] or "") for part in ("what", "expected", "fix"))
    if name == DeadlinePassed.__name__:
        return DeadlinePassed()
    kind: type[MiveError] = getattr(known_errors, name, MiveError)
    what, expected, fix = texts
    return kind(what, expected=expected, fix=fix, field=stored["field"])


def timestamp(seconds: float) -> Timestamp:
    """Seconds since the epoch as a message."""
    message = Timestamp()
    message.FromMilliseconds(round(seconds * 1000))
    return message
