"""In what a submission differs from the job that has its idempotency key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mive.server.jobs import Job, Submission

_MOST: Final = 5
"""Fields that are named."""


def differences(job: Job, labels: dict[str, str], asked: Submission) -> list[str]:
    """The fields that are not as they were, those of the edit by their paths below EditRequest; none if all are.

    Args:
        labels: of the job.
    """
    before = {} if job.request is None else job.request.model_dump()
    found = list(_paths(before, asked.request.model_dump(), ""))
    found += list(_paths(vars(job.handles), vars(asked.handles), "handles"))
    others = {
        "priority": (job.priority, asked.priority),
        "deadline": (job.patience, asked.patience),
        "preview_every": (job.preview_every, asked.preview_every),
        "labels": (labels, dict(asked.labels)),
        "the job that is repeated": (job.retry_of, asked.retry_of),
        "PreviewJob or SubmitJob": (job.watched, asked.watched),
    }
    # Jobs of earlier versions do not know how long they may wait, only until when.
    if job.patience is None and job.deadline is not None and asked.patience is not None:
        del others["deadline"]
    found += [name for name, (was, now) in others.items() if was != now]
    return found if len(found) <= _MOST else [*found[:_MOST], f"{len(found) - _MOST} more"]


def _paths(was: object, now: object, at: str) -> Iterator[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        for name in {**was, **now}:
            yield from _paths(was.get(name), now.get(name), f"{at}.{name}".lstrip("."))
    elif isinstance(was, list | tuple) and isinstance(now, list | tuple) and len(was) == len(now):
        for number, pair in enumerate(zip(was, now, strict=True)):
            yield from _paths(*pair, f"{at}[{number}]")
    elif was != now:
        yield at
