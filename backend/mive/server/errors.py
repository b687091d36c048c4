"""What the service refuses besides what :mod:`mive.errors` knows.

::

    MiveError
    ├── TryLater          the same will work in a while
    │   ├── QueueFull     too many jobs wait
    │   ├── NotReady      the server loads its model, or is about to end
    │   └── UploadBusy    another stream sends the same upload
    ├── JobNotFound       no such job, or it is not this owner's
    ├── KeyReused         an idempotency key came with something else
    ├── DeadlinePassed    the job's deadline passed while it waited
    ├── ResultsGone       the frames were removed to make room
    ├── UploadNotFound    no such upload, or it is not this owner's
    ├── UploadTaken       another stream has taken an upload over
    ├── QuotaExceeded     an owner has, or keeps, too much
    ├── RegionNotFound    no such shared-memory region, or it is not this owner's
    ├── NoSharedMemory    shared memory is off
    ├── NotThereYet       the job has not come that far
    └── StoreError        the job store, or a part of it, cannot be opened or is of another version
"""

from __future__ import annotations

from collections.abc import Sequence

from mive.errors import MiveError


class TryLater(MiveError):
    """The same will work in a while.

    Args:
        retry_after: seconds after which trying again makes sense.
    """

    def __init__(self, what: str, *, expected: str, fix: str, retry_after: float) -> None:
        super().__init__(what, expected=expected, fix=fix)
        self.retry_after = retry_after


class QueueFull(TryLater):
    """Too many jobs wait."""


class NotReady(TryLater):
    """The server loads its model, or is about to end."""


class JobNotFound(MiveError):
    """There is no such job among the owner's; whether somebody else has it is not told."""

    def __init__(self, job: str) -> None:
        super().__init__(
            f'there is no job "{job[:64]}"',
            expected="the id of a job that was submitted with this token",
            fix="List your jobs to see their ids",
        )


class KeyReused(MiveError):
    """An idempotency key was used before, for something else.

    Args:
        differing: the fields that are not as they were, such as "priority".
    """

    def __init__(self, differing: Sequence[str]) -> None:
        names = ", ".join(differing)
        super().__init__(
            f"this idempotency key belongs to a job that differs in {names}",
            expected="a new key for every new request",
            fix="Use a fresh key, or submit again just what was submitted before",
            field="idempotency_key",
        )


class DeadlinePassed(MiveError):
    """The deadline passed while the job waited, so it was never started."""

    def __init__(self) -> None:
        super().__init__(
            "the job's deadline passed while it waited in the queue",
            expected="a worker that is free before the deadline",
            fix="Submit it again with a later deadline or none",
        )


class ResultsGone(MiveError):
    """The frames are not there any more, or not yet."""

    def __init__(self, frame: int) -> None:
        super().__init__(
            f"frame {frame} is not there",
            expected="a frame of the job that is finished and still kept",
            fix="Wait until it is finished; results that were removed to make room need a new job",
        )


class NotThereYet(MiveError):
    """What is asked for comes later, if the job gets that far."""


class UploadNotFound(MiveError):
    """Nothing of these bytes is there for the owner; whether somebody else has them is not told.

    Args:
        field: where the request names them.
    """

    def __init__(self, upload_id: str, field: str) -> None:
        super().__init__(
            f"nothing of the upload {upload_id[:12]}… is there",
            expected="an upload that was sent with this token and is still kept",
            fix="Send it, again where it was removed in the meantime",
            field=field,
        )


class UploadBusy(TryLater):
    """Another stream is sending the same upload."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "another stream is sending the same upload",
            expected="one stream for each upload",
            fix=f"Try again in {retry_after:.0f} seconds; what has arrived by then need not be sent again",
            retry_after=retry_after,
        )


class UploadTaken(MiveError):
    """A stream paused, and another has taken its upload over."""

    def __init__(self) -> None:
        super().__init__(
            "this stream paused, and another one now sends the same upload",
            expected="one stream for each upload",
            fix="Ask GetUpload how much has arrived, and go on from there",
        )


class QuotaExceeded(MiveError):
    """An owner has, or keeps, as much as is allowed."""


class RegionNotFound(MiveError):
    """There is no such region among the owner's. The text repeats nothing, since ids and names are secrets.

    Args:
        field: where the request names it.
    """

    def __init__(self, field: str) -> None:
        super().__init__(
            "there is no such shared-memory region",
            expected="the region_id of a region that was opened with this token and is still open",
            fix="Keep the OpenRegion stream open for as long as the region is used",
            field=field,
        )


class NoSharedMemory(MiveError):
    """The server offers no shared memory."""

    def __init__(self) -> None:
        super().__init__(
            "shared memory is off on this server",
            expected="a server on this machine that was started with it",
            fix="Upload the bytes, or ask for shared memory to be turned on",
        )


class StoreError(MiveError):
    """The job store cannot be opened, or a row of it cannot be read."""
