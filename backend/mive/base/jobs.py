"""What jobs at a server are asked and told in: the words that programs, clients and servers share."""

from __future__ import annotations

from typing import Final, Literal, get_args

Priority = Literal["interactive", "batch"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]

Way = Literal["path", "upload", "memory"]
"""How clip and mattes reach a server."""

Send = Literal["auto", Way]
"""``auto`` is by path where the server is on this machine, takes paths, and all of the request's are absolute."""

SENDS: Final[tuple[Send, ...]] = get_args(Send)

PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
"""In the order in which they are served."""

USUAL_PRIORITY: Final = "batch"

STATES: Final[tuple[JobState, ...]] = get_args(JobState)

FINISHED: Final[tuple[JobState, ...]] = ("done", "failed", "cancelled")
"""States that a job does not leave."""
