"""The workers' side of the job store: claims, heartbeats, events and endings.

A worker holds a lease on its job. While the lease lives nobody else runs the job; once it has expired (the worker
crashed, hangs, or lost its machine) the job can be claimed again, and all that the old worker still writes is refused.
Leases and deadlines count on the machine's steady clock and end with its boot: setting the clock takes no job away.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mive.errors import EngineError, MiveError
from mive.request import FrameRange
from mive.server.database import Database
from mive.server.errors import DeadlinePassed
from mive.server.events import add_event, end_job, queued
from mive.server.jobs import Job, read_job, unreadable
from mive.v1 import job_pb2

log = logging.getLogger(__name__)

MOST_FRUITLESS = 10
"""Starts without a single checkpoint after which a job is held to be what kills its workers."""

_LONGEST = 86400
"""Seconds: a lease that ends later is none of this version's."""

_FREE = f"NOT coalesce(leases.boot = :boot AND expires > :steady AND expires < :steady + {_LONGEST}, 0)"
"""Nobody holds the job."""

_OVERDUE = "started IS NULL AND CASE WHEN jobs.boot = :boot THEN due <= :steady ELSE deadline <= :now END"
"""A deadline counts until the first start only. What remains of it after a new boot only the wall clock can tell."""

_WITH_LEASES = "FROM jobs LEFT JOIN leases ON leases.job = jobs.id"

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
        self._sound: set[int] = set()

    def version(self) -> int:
        """Another value after every change of the store."""
        return self._database.version()

    def claim(self, worker: str, seconds: float) -> Job | None:
        """The next job, leased to the worker: interactive before batch, then the oldest; None where nothing waits."""
        self.sweep()
        free = (
            f"SELECT jobs.* {_WITH_LEASES} WHERE state = 'queued' OR (state = 'running' AND {_FREE}) "
            "ORDER BY priority, number LIMIT 1"
        )
        # An idle worker asks often, and must not hold up those who write.
        while self._database.read(free, self._times()):
            # After a power cut its lease is void anyway.
            with self._database.transaction(durable=False) as write:
                times = self._times()
                row = write.execute(free, times).fetchone()
                if row is None:
                    return None
                job = read_job(row)
                if job.fault:
                    self._fail_unreadable(write, row["id"], job)
                    continue
                lease = (row["id"], worker, times["steady"] + seconds, times["boot"])
                write.execute("INSERT OR REPLACE INTO leases (job, worker, expires, boot) VALUES (?, ?, ?, ?)", lease)
                claimed = write.execute(
                    "UPDATE jobs SET state = 'running', attempts = attempts + 1, fruitless = fruitless + 1, "
                    "updated = :now, started = coalesce(started, :now), stage = NULL, told = NULL WHERE id = :id "
                    "RETURNING *",
                    {**times, "id": row["id"]},
                ).fetchone()
                return read_job(claimed)
        return None

    def sweep(self) -> None:
        """End jobs that nobody will: past their deadline, cancelled while their worker was gone, killing workers."""
        hopeless = f"cancelling IS NOT NULL OR fruitless >= {MOST_FRUITLESS} OR ({_OVERDUE})"
        due = f"SELECT jobs.* {_WITH_LEASES} WHERE state IN ('queued', 'running') AND {_FREE} AND ({hopeless})"
        if not self._database.read(due, self._times()):
            return
        with self._database.transaction() as write:
            for row in write.execute(due, self._times()).fetchall():
                if row["cancelling"] is not None:
                    end = job_pb2.Cancelled(reason=str(row["cancelling"]))
                    end_job(write, row["id"], self._database.now(), end)
                else:
                    error = DeadlinePassed() if row["started"] is None else _deadly()
                    end_job(write, row["id"], self._database.now(), error)

    def fail_unreadable(self) -> None:
        """End the jobs that wait for somebody and that this version cannot read, so that nobody waits for them."""
        waiting = f"SELECT jobs.* {_WITH_LEASES} WHERE state NOT IN ('done', 'failed', 'cancelled') AND {_FREE}"
        sound = set()
        for row in self._database.read(waiting, self._times()):
            stamp = hash(tuple(row))
            if stamp not in self._sound and (job := read_job(row)).fault:
                with self._database.transaction() as write:
                    self._fail_unreadable(write, row["id"], job)
            sound.add(stamp)
        self._sound = sound

    def _fail_unreadable(self, write: sqlite3.Connection, row_id: object, job: Job) -> None:
        log.error("job %s cannot be read, so it fails: %s", job.id[:64], job.fault)
        end_job(write, row_id, self._database.now(), unreadable(job.fault))

    def _times(self) -> dict[str, Any]:
        clocks = self._database.clocks
        return {"boot": clocks.boot(), "steady": clocks.steady(), "now": clocks.wall()}

    def renew(self, job: str, worker: str, seconds: float) -> None:
        """The heartbeat.

        Raises:
            LeaseLost: the job is not the worker's any more.
        """
        with self._holding(job, worker, durable=False) as write:
            values = {**self._times(), "seconds": seconds, "job": job}
            write.execute("UPDATE leases SET expires = :steady + :seconds, boot = :boot WHERE job = :job", values)

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

    def event(
        self,
        job: str,
        worker: str,
        event: job_pb2.JobEvent,
        slot: str | None = None,
        reached: tuple[str, float, float | None] | None = None,
    ) -> None:
        """Tell the job's watchers something; a later event in the same ``slot`` replaces an earlier one.

        Args:
            reached: also how far the whole job is: stage, share, and seconds that are left.

        Raises:
            LeaseLost: the job is not the worker's any more.
        """
        # Progress is no loss, and comes too often to wait for the disk.
        with self._holding(job, worker, durable=slot is None) as write:
            add_event(write, job, self._database.now(), event, slot)
            if reached is not None:
                values = (*reached, self._database.clocks.steady(), job)
                write.execute("UPDATE jobs SET stage = ?, share = ?, eta = ?, told = ? WHERE id = ?", values)

    def opened(self, job: str, worker: str, frames: FrameRange, clip: bytes) -> None:
        """The clip was opened: these frames will be edited.

        Args:
            clip: a serialised ``mive.v1.ClipInfo``.

        Raises:
            LeaseLost: the job is not the worker's any more.
        """
        with self._holding(job, worker, durable=False) as write:
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
        with self._database.transaction(durable=False) as write:
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
        statuses = []
        for row in self._database.read("SELECT * FROM workers ORDER BY name"):
            # What another version said of itself is nothing to this one.
            with contextlib.suppress(ValueError, TypeError):
                statuses.append(_read_worker(row))
        return statuses

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


def _read_worker(row: sqlite3.Row) -> WorkerStatus:
    return WorkerStatus(
        name=row["name"],
        device=row["device"],
        state=row["state"],
        error=row["error"] and json.loads(row["error"]),
        updated=row["updated"],
        about=DeviceFacts(**json.loads(row["about"])),
    )


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
