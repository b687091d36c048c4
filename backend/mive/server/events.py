"""Writing events: append-only, with a bounded number per job."""

from __future__ import annotations

import json
import sqlite3

from mive.server.jobs import Body

MOST_EVENTS = 4096
"""Events kept per job; the oldest go first. Progress replaces itself, so only windows add up."""


def add_event(write: sqlite3.Connection, job: str, now: float, kind: str, body: Body, slot: str | None = None) -> int:
    """Append an event and return its sequence number.

    Args:
        write: within a transaction.
        slot: an earlier event of the job in the same slot is dropped; None keeps all.
    """
    row = write.execute(
        "UPDATE jobs SET last_event = last_event + 1, updated = ? WHERE id = ? RETURNING last_event", (now, job)
    ).fetchone()
    sequence: int = row[0]
    if slot is not None:
        write.execute("DELETE FROM events WHERE job = ? AND slot = ?", (job, slot))
    write.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", (job, sequence, now, kind, slot, json.dumps(body)))
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
    state: str,
    body: Body,
    *,
    error: Body | None = None,
    manifest: str | None = None,
) -> None:
    """Bring a job to one of its final states, drop its lease and tell its watchers."""
    write.execute(
        "UPDATE jobs SET state = ?, ended = ?, error = ?, manifest = ? WHERE id = ?",
        (state, now, None if error is None else json.dumps(error), manifest, job),
    )
    write.execute("DELETE FROM leases WHERE job = ?", (job,))
    add_event(write, job, now, state, body)
