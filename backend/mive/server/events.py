"""Writing events: append-only, with a bounded number per job."""

from __future__ import annotations

import json
import sqlite3

from mive.errors import MiveError
from mive.v1 import job_pb2

MOST_EVENTS = 4096
"""Events kept per job; the oldest go first. Progress replaces itself, so only windows add up."""


def add_event(write: sqlite3.Connection, job: str, now: float, event: job_pb2.JobEvent, slot: str | None = None) -> int:
    """Append an event and return its sequence number.

    Args:
        write: within a transaction.
        event: without sequence, time and job, and without what the job knows itself.
        slot: an earlier event of the job in the same slot is dropped; None keeps all.
    """
    last = write.execute(
        "UPDATE jobs SET last_event = last_event + 1, updated = ? WHERE id = ? RETURNING last_event", (now, job)
    ).fetchone()
    sequence: int = last[0]
    if slot is not None:
        write.execute("DELETE FROM events WHERE job = ? AND slot = ?", (job, slot))
    row = (job, sequence, now, event.WhichOneof("event"), slot, event.SerializeToString())
    write.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)
    if sequence > MOST_EVENTS:
        write.execute(
            "DELETE FROM events WHERE job = ? AND sequence <= "
            "(SELECT sequence FROM events WHERE job = ? ORDER BY sequence DESC LIMIT 1 OFFSET ?)",
            (job, job, MOST_EVENTS),
        )
    return sequence


def end_job(
    write: sqlite3.Connection,
    job: str,
    now: float,
    end: job_pb2.Done | job_pb2.Cancelled | MiveError,
    manifest: str | None = None,
) -> None:
    """Bring a job to one of its final states, drop its lease and tell its watchers."""
    match end:
        case job_pb2.Done():
            event = job_pb2.JobEvent(done=end)
        case job_pb2.Cancelled():
            event = job_pb2.JobEvent(cancelled=end)
        case _:
            event = job_pb2.JobEvent(failed=job_pb2.Failed())
    error = json.dumps(end.to_dict()) if isinstance(end, MiveError) else None
    write.execute(
        "UPDATE jobs SET state = ?, ended = ?, error = ?, manifest = ? WHERE id = ?",
        (event.WhichOneof("event"), now, error, manifest, job),
    )
    write.execute("DELETE FROM leases WHERE job = ?", (job,))
    add_event(write, job, now, event)


def queued(attempts: int) -> job_pb2.JobEvent:
    """A job waits that was started so many times; its place in the queue is told when it is asked for."""
    return job_pb2.JobEvent(queued=job_pb2.Queued(attempts=attempts))
