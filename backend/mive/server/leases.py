"""The workers' side of the job store: claims, heartbeats, events and endings.

A worker holds a lease on its job. While the lease lives nobody else runs the job; once it has expired (the worker
crashed, hangs, or lost its machine) the job can be claimed again, and all that the old worker still writes is refused.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from mive.errors import EngineError, MiveError
from mive.request import FrameRange
from mive.server.database import Database
from mive.server.errors import DeadlinePassed
from mive.server.events import add_event, end_job, queued
from mive.server.jobs import Job, read_job
from mive.v1 import job_pb2

MOST_FRUITLESS = 10
"""Starts without a single checkpoint after which a job is held to be what kills its workers."""

WorkerState = Literal["loading", "ready", "failed", "draining", "stopped"]


class LeaseLost(Exception):
    """The job is somebody else's now."""


@dataclass(frozen=True)
class DeviceFacts:
    """What a worker knows of its device.

    Attributes:
        description: for people.
        memory_bytes, free_bytes: 0 where unknown; free as it was when the worker had loaded its model.
    """

    description: str = ""
    memory_bytes: int = 0
    free_bytes: int = 0


@dataclass(frozen=True)
class WorkerStatus:
    """What a worker last said of itself.

    Attributes:
        error: `MiveError.to_dict` of why its model could not be loaded.
        updated: seconds since the epoch.
        about: its device, once that is known.
    """

    name: str
    device: str
    state: WorkerState
    error: dict[str, str | None] | None
    updated: float
    about: DeviceFacts = DeviceFacts()


class Leases:
    """What workers do with jobs. All methods raise `OutputError` where the store cannot be written."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, worker: str, seconds: float) -> Job | None:
        """The next job, leased to the worker: interactive before batch, then the oldest; None where nothing waits."""
        self.sweep()
        now = self._database.now()
        free = (
            "SELECT jobs.* FROM jobs LEFT JOIN leases ON leases.job = jobs.id "
            "WHERE state = 'queued' OR (state = 'running' AND coalesce(expires, 0) <= ?) "
            "ORDER BY priority, number LIMIT 1"
        )
        # An idle worker asks often, and must not hold up those who write.
        if not self._database.read(free, now):
            return None
        with self._database.transaction() as write:
            row = write.execute(free, (now,)).fetchone()
            if row is None:
                return None
            write.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", (row["id"], worker, now + seconds))
            claimed = write.execute(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1, fruitless = fruitless + 1, updated = ?, "
                "started = coalesce(started, ?) WHERE id = ? RETURNING *",
                (now, now, row["id"]),
            ).fetchone()
            return read_job(claimed)

    def sweep(self) -> None:
        """End the jobs that nobody will: past their deadline, cancelled while their worker was gone, killing workers.

        A deadline counts until the first start only.
        """
        now = self._database.now()
        orphaned = (
            "FROM jobs LEFT JOIN leases ON leases.job = jobs.id "
            "WHERE state IN ('queued', 'running') AND coalesce(expires, 0) <= ?"
        )
        hopeless = "cancelling IS NOT NULL OR fruitless >= ? OR (deadline <= ? AND started IS NULL)"
        due = f"SELECT jobs.* {orphaned} AND ({hopeless})"
        values = (now, MOST_FRUITLESS, now)
        if not self._database.read(due, *values):
            return
        with self._database.transaction() as write:
            for row in write.execute(due, values).fetchall():
                if row["cancelling"] is not None:
                    end_job(write, row["id"], now, job_pb2.Cancelled(reason=row["cancelling"]))
                else:
                    end_job(write, row["id"], now, DeadlinePassed() if row["started"] is None else _deadly())

    def renew(self, job: str, worker: str, seconds: float) -> None:
        """The heartbeat.

        Raises:
            LeaseLost: the job is not the worker's any more.
        """
        with self._holding(job, worker, durable=False) as write:
            write.execute("UPDATE leases SET expires = ? WHERE job = ?", (self._database.now() + seconds, job))

    def cancelling(self, job: str, worker: str) -> str | None:
        """Why the job is to stop; None where it is not.

        Raises:
            LeaseLost: the job is not the worker's any more.
        """
        rows = self._database.read(
            "SELECT cancelling FROM jobs JOIN leases ON leases.job = jobs.id WHERE id = ? AND worker = ?", job, worker
        )
        if not rows:
            raise LeaseLost
        reason: str | None = rows[0][0]
        return reason

    def event(self, job: str, worker: str, event: job_pb2.JobEvent, slot: str | None = None) -> None:
        """Tell the job's watchers something; a later event in the same ``slot`` replaces an earlier one.

        Raises:
            LeaseLost: the job is not the worker's any more.
        """
        # Progress is no loss, and comes too often to wait for the disk.
        with self._holding(job, worker, durable=slot is None) as write:
            add_event(write, job, self._database.now(), event, slot)

    def opened(self, job: str, worker: str, frames: FrameRange, clip: bytes) -> None:
        """The clip was opened: these frames will be edited.

        Args:
            clip: a serialised ``mive.v1.ClipInfo``.

        Raises:
            LeaseLost: the job is not the worker's any more.
        """
        with self._holding(job, worker) as write:
            write.execute(
                "UPDATE jobs SET first = ?, last = ?, clip = ? WHERE id = ?", (frames.first, frames.last, clip, job)
            )

    def checkpointed(self, job: str, worker: str) -> None:
        """The job got ahead, so it is not to blame if its worker dies.

        Raises:
            LeaseLost: the job is not the worker's any more.
        """
        with self._holding(job, worker, durable=False) as write:
            write.execute("UPDATE jobs SET fruitless = 0 WHERE id = ?", (job,))

    def narrow(self, job: str, worker: str, window: int) -> None:
        """The job ran out of memory and starts over with windows of ``window`` frames.

        Raises:
            LeaseLost: the job is not the worker's any more.
        """
        with self._holding(job, worker) as write:
            now = self._database.now()
            write.execute("UPDATE jobs SET window = ?, attempts = attempts + 1 WHERE id = ?", (window, job))
            add_event(write, job, now, queued(_attempts(write, job)))

    def release(self, job: str, worker: str) -> None:
        """Hand the job back, to go on from its last checkpoint with any worker.

        Raises:
            LeaseLost: the job is not the worker's any more.
        """
        with self._holding(job, worker) as write:
            write.execute("UPDATE jobs SET fruitless = 0 WHERE id = ?", (job,))
            _requeue(write, job, self._database.now())

    def release_all(self, worker: str) -> list[str]:
        """Hand back every job of a worker that is known to be dead, without waiting for its leases to expire."""
        with self._database.transaction() as write:
            jobs = [row[0] for row in write.execute("SELECT job FROM leases WHERE worker = ?", (worker,)).fetchall()]
            for job in jobs:
                _requeue(write, job, self._database.now())
        return jobs

    def done(self, job: str, worker: str, manifest: str, done: job_pb2.Done) -> None:
        """All frames are there.

        Raises:
            LeaseLost: the job is not the worker's any more.
        """
        with self._holding(job, worker) as write:
            end_job(write, job, self._database.now(), done, manifest)

    def failed(self, job: str, worker: str, error: MiveError) -> None:
        """The job cannot be done.

        Raises:
            LeaseLost: the job is not the worker's any more.
        """
        with self._holding(job, worker) as write:
            end_job(write, job, self._database.now(), error)

    def cancelled(self, job: str, worker: str, reason: str) -> None:
        """The job stopped because it was to.

        Raises:
            LeaseLost: the job is not the worker's any more.
        """
        with self._holding(job, worker) as write:
            end_job(write, job, self._database.now(), job_pb2.Cancelled(reason=reason))

    def announce(
        self,
        worker: str,
        device: str,
        state: WorkerState,
        error: MiveError | None = None,
        about: DeviceFacts | None = None,
    ) -> None:
        """Say how the worker itself is.

        Args:
            about: its device, once that is known.
        """
        said = None if error is None else json.dumps(error.to_dict())
        facts = json.dumps(asdict(about or DeviceFacts()))
        with self._database.transaction() as write:
            write.execute(
                "INSERT OR REPLACE INTO workers (name, device, state, error, updated, about) VALUES (?, ?, ?, ?, ?, ?)",
                (worker, device, state, said, self._database.now(), facts),
            )

    def forget_workers(self) -> None:
        """Drop what the workers of an earlier run said of themselves."""
        with self._database.transaction() as write:
            write.execute("DELETE FROM workers")

    def workers(self) -> list[WorkerStatus]:
        """What all workers last said of themselves, by name."""
        rows = self._database.read("SELECT * FROM workers ORDER BY name")
        return [
            WorkerStatus(
                name=row["name"],
                device=row["device"],
                state=row["state"],
                error=row["error"] and json.loads(row["error"]),
                updated=row["updated"],
                about=DeviceFacts(**json.loads(row["about"])),
            )
            for row in rows
        ]

    @contextlib.contextmanager
    def _holding(self, job: str, worker: str, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A write transaction that fails unless the worker holds the job.

        An expired lease that nobody else took is still good: the work so far is worth keeping.
        """
        with self._database.transaction(durable) as write:
            held = write.execute("SELECT 1 FROM leases WHERE job = ? AND worker = ?", (job, worker)).fetchone()
            if held is None:
                raise LeaseLost
            yield write


def _requeue(write: sqlite3.Connection, job: str, now: float) -> None:
    write.execute("UPDATE jobs SET state = 'queued' WHERE id = ?", (job,))
    write.execute("DELETE FROM leases WHERE job = ?", (job,))
    add_event(write, job, now, queued(_attempts(write, job)))


def _attempts(write: sqlite3.Connection, job: str) -> int:
    return int(write.execute("SELECT attempts FROM jobs WHERE id = ?", (job,)).fetchone()[0])


def _deadly() -> EngineError:
    return EngineError(
        f"the job ended its worker {MOST_FRUITLESS} times before the first step was done",
        expected="a worker that lives through a step",
        fix="Use a smaller window or model_size; the server's log tells how the workers ended",
    )
