"""How far an edit is, as a job's events and back."""

from __future__ import annotations

from typing import Final

from mive.base.progress import Progress
from mive.errors import RequestError
from mive.v1 import job_pb2

STAGES: Final = {
    "load": "loading",
    "conditions": "conditions",
    "inversion": "inversion",
    "sampling": "step",
    "write": "writing",
}
"""The event that tells of each stage."""

_EVENTS = {event: stage for stage, event in STAGES.items()}
_NANOSECONDS = 10**9


def progress_to_event(progress: Progress, *, eta: float | None = None, cached: bool = False) -> job_pb2.JobEvent:
    """The event that tells of progress; sequence, time and job are the caller's to set.

    Args:
        eta: seconds until the job should be done.
        cached: the stage's result was found in a cache.
    """
    message = job_pb2.Progress(
        done=progress.done,
        total=progress.total,
        window=progress.window,
        windows=progress.windows,
        view=progress.view,
        views=progress.views,
        cached=cached,
    )
    if eta is not None:
        message.eta.seconds, message.eta.nanos = divmod(round(max(eta, 0) * _NANOSECONDS), _NANOSECONDS)
    event = job_pb2.JobEvent()
    getattr(event, STAGES[progress.stage]).CopyFrom(message)
    return event


def progress_from_event(event: job_pb2.JobEvent) -> Progress:
    """The progress that an event tells of.

    Raises:
        RequestError: it tells of something else; see :func:`is_progress`.
    """
    kind = event.WhichOneof("event")
    if kind not in _EVENTS:
        raise RequestError(
            f"the event {kind or 'without a kind'} tells of no progress",
            expected=f"one of {', '.join(_EVENTS)}",
            fix="Look at the kind of the event first",
            field="event",
        )
    message: job_pb2.Progress = getattr(event, kind)
    places = (message.window, message.windows, message.view, message.views)
    return Progress(_EVENTS[kind], message.done, message.total, *places)


def is_progress(event: job_pb2.JobEvent) -> bool:
    """The event tells how far a stage is."""
    return event.WhichOneof("event") in _EVENTS


def eta_of(event: job_pb2.JobEvent) -> float | None:
    """Seconds until the job should be done, where a progress event says so."""
    if not is_progress(event):
        return None
    message: job_pb2.Progress = getattr(event, str(event.WhichOneof("event")))
    if not message.HasField("eta"):
        return None
    return message.eta.seconds + message.eta.nanos / _NANOSECONDS
