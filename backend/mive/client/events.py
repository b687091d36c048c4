"""What happens to a job, as objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mive.base.progress import Progress
from mive.client.errors import from_server
from mive.client.times import time_of
from mive.errors import MiveError
from mive.media.info import Pixels
from mive.request import FrameRange
from mive.v1 import edit_pb2, job_pb2
from mive.wire.errors import error_from_detail
from mive.wire.formats import format_from_message, unpack
from mive.wire.progress import eta_of, is_progress, progress_from_event
from mive.wire.request import range_from_message


@dataclass(frozen=True)
class Event:
    """Something that happened to a job.

    Attributes:
        job_id: the job.
        sequence: counts the job's events from 1; there are gaps where a slow reader missed some.
        time: when, by the server's clock.
    """

    job_id: str
    sequence: int
    time: datetime


@dataclass(frozen=True)
class Queued(Event):
    """The job waits.

    Attributes:
        position: jobs that start before it; 0 is next.
        attempts: how often it was started already; after 1 or more it goes on from its last checkpoint.
    """

    position: int
    attempts: int


@dataclass(frozen=True)
class Progressed(Event):
    """A stage got ahead.

    Attributes:
        progress: which stage, and how far; the stages are those of ``mive edit``.
        eta: seconds until the whole job should be done, where something can be said.
        cached: the stage's result was there already.
    """

    progress: Progress
    eta: float | None
    cached: bool


@dataclass(frozen=True)
class Preview(Event):
    """How one instance looks so far.

    Attributes:
        instance: its id.
        frame: index in the clip.
        done, total: the step it was made after (0: a sketch, before the inversion), and how many there are.
        image: ``[h, w, 3]`` uint8, at most 256 pixels a side.
    """

    instance: int
    frame: int
    done: int
    total: int
    image: Pixels = field(compare=False, repr=False)


@dataclass(frozen=True)
class WindowFinished(Event):
    """Frames are final and can be fetched.

    Attributes:
        frames: which.
        window, windows: the window they came from (from 1), and how many there are.
    """

    frames: FrameRange
    window: int
    windows: int


@dataclass(frozen=True)
class Warned(Event):
    """What the user should know, as soon as it is known.

    Attributes:
        warnings: all that are known so far.
    """

    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Done(Event):
    """All frames and the manifest can be fetched.

    Attributes:
        frames: those that were edited, handles included.
        warnings: what the user should know.
        cached: the same edit had been made before.
    """

    frames: FrameRange
    warnings: tuple[str, ...]
    cached: bool


@dataclass(frozen=True)
class Failed(Event):
    """The job ended with an error.

    Attributes:
        error: what ``mive edit`` would have raised.
        code: the canonical gRPC status code (``google.rpc.Code``).
    """

    error: MiveError
    code: int


@dataclass(frozen=True)
class Cancelled(Event):
    """The job was cancelled.

    Attributes:
        reason: why, as a sentence.
    """

    reason: str


ENDS = (Done, Failed, Cancelled)
"""The last event of every job is one of these."""


def event_from_message(message: job_pb2.JobEvent, first: int = 0) -> Event | None:
    """The event; None for one of a kind that this version does not know.

    Args:
        first: index in the client's clip of the server's frame 0.

    Raises:
        ServerError: the event makes no sense.
    """
    with from_server():
        head = (message.job_id, message.sequence, time_of(message.time))
        if is_progress(message):
            kind: job_pb2.Progress = getattr(message, str(message.WhichOneof("event")))
            return Progressed(*head, progress_from_event(message), eta_of(message), kind.cached)
        match message.WhichOneof("event"):
            case "queued":
                return Queued(*head, message.queued.position, message.queued.attempts)
            case "preview":
                return _preview(head, message.preview, first)
            case "window_finished":
                finished = message.window_finished
                return WindowFinished(*head, moved(finished.frames, first), finished.window, finished.windows)
            case "warned":
                return Warned(*head, tuple(message.warned.warnings))
            case "done":
                done = message.done
                return Done(*head, moved(done.frames, first), tuple(done.warnings), done.cached)
            case "failed":
                return Failed(*head, error_from_detail(message.failed.error), message.failed.code)
            case "cancelled":
                return Cancelled(*head, message.cancelled.reason)
    return None


def moved(frames: edit_pb2.FrameRange, first: int) -> FrameRange:
    """The range of a message whose frame 0 is the client's frame ``first``.

    Raises:
        RequestError: it runs backwards.
    """
    given = range_from_message(frames)
    return FrameRange(given.first + first, given.last + first)


def _preview(head: tuple[str, int, datetime], message: job_pb2.Preview, first: int) -> Preview:
    image = unpack(message.data, format_from_message(message.format))
    return Preview(*head, message.instance_id, message.frame + first, message.done, message.total, image)
