"""What the service refuses besides what :mod:`mive.errors` knows.

::

    MiveError
    ├── QueueFull         too many jobs wait; try again later
    ├── JobNotFound       no such job, or it is not this owner's
    ├── KeyReused         an idempotency key came with another request
    ├── DeadlinePassed    the job's deadline passed while it waited
    ├── ResultsGone       the frames were removed to make room
    └── StoreError        the job store cannot be opened or is of another version
"""

from __future__ import annotations

from mive.errors import MiveError


class QueueFull(MiveError):
    """Too many jobs wait.

    Args:
        retry_after: seconds after which trying again makes sense.
    """

    def __init__(self, what: str, *, expected: str, fix: str, retry_after: float) -> None:
        super().__init__(what, expected=expected, fix=fix)
        self.retry_after = retry_after


class JobNotFound(MiveError):
    """There is no such job among the owner's; whether somebody else has it is not told."""

    def __init__(self, job: str) -> None:
        super().__init__(
            f'there is no job "{job[:64]}"',
            expected="the id of a job that was submitted with this token",
            fix="List your jobs to see their ids",
        )


class KeyReused(MiveError):
    """An idempotency key was used before, for another request."""

    def __init__(self) -> None:
        super().__init__(
            "this idempotency key belongs to another request",
            expected="a new key for every new request",
            fix="Use a fresh key, or submit the earlier request unchanged",
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


class StoreError(MiveError):
    """The job store cannot be opened."""
