"""Writing events: append-only, with a bounded number per job."""

from __future__ import annotations

import json
import sqlite3

from mive.errors import MiveError
from mive.v1 import job_pb2

MOST_EVENTS = 4096
"""Events kept per job; the oldest go first. Progress replaces itself, so only windows add up."""


_NEXT = """UPDATE jobs SET updated = :now, last_event = 1 + max(
    CASE WHEN typeof(last_event) = 'integer' AND last_event BETWEEN 0 AND 1 << 53 THEN last_event ELSE 0 END,
    coalesce((SELECT max(sequence) FROM events WHERE job = :job), 0)
) WHERE id = :job RETURNING last_event"""
"""What the row says is not trusted blindly: a number that is taken already would keep the job from ever ending."""

_ENDING = """INSERT INTO house (id, endings) VALUES (1, 1)
ON CONFLICT (id) DO UPDATE SET endings = 1 + CAST(endings AS INTEGER) RETURNING endings"""


def add_event(
    write: sqlite3.Connection, job: object, now: float, event: job_pb2.JobEvent, slot: str | None = None
) -> int:
    """Append an event and return its sequence number.

    Args:
        write: within a transaction.
        job: its id as the store has it.
        event: without sequence, time and job, and without what the job knows itself.
        slot: an earlier event of the job in the same slot is dropped; None keeps all.
    """
    sequence: int = write.execute(_NEXT, {"job": job, "now": now}).fetchone()[0]
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
    job: object,
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
    ending = write.execute(_ENDING).fetchone()[0]
    write.execute(
        "UPDATE jobs SET state = ?, ended = ?, error = ?, manifest = ?, ending = ? WHERE id = ?",
        (event.WhichOneof("event"), now, error, manifest, ending, job),
    )
    write.execute("DELETE FROM leases WHERE job = ?", (job,))
    add_event(write, job, now, event)


def queued(attempts: int) -> job_pb2.JobEvent:
    """A job waits that was started so many times; its place in the queue is told when it is asked for."""
    return job_pb2.JobEvent(queued=job_pb2.Queued(attempts=attempts))
