"""The jobs of all owners, as clients see them; :mod:`mive.server.leases` is the workers' side."""

from __future__ import annotations

import sqlite3
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mive.base.jobs import PRIORITIES, JobState
from mive.request import EditRequest
from mive.server.clocks import CLOCKS, Clocks
from mive.server.database import Database
from mive.server.differences import differences
from mive.server.errors import JobNotFound, KeyReused, QueueFull
from mive.server.events import add_event, end_job, queued
from mive.server.jobs import Job, Submission, read_event, read_job
from mive.server.leases import Leases
from mive.server.rows import is_unicode
from mive.v1 import job_pb2

RETRY_SECONDS = 5.0
"""When to try again while the queue is full."""


class Standing(NamedTuple):
    """How a job stands, as far as its watchers need to know whether to look again.

    Attributes:
        last_event: number of its latest event.
        position: jobs that start before it; None where it runs.
        attempts: how often it was started.
    """

    last_event: int
    position: int | None
    attempts: int


class JobStore:
    """Jobs in one SQLite file; threads and processes may use it at once.

    Every query names an owner and sees that owner's jobs only.

    Args:
        path: of the database.
        queue_limit: jobs that may wait, of all owners.
        owner_limit: jobs that may wait or run, of one owner; None is no limit.
        check: as for `Database`.

    Raises:
        StoreError, OutputError: as `Database`.
    """

    def __init__(
        self,
        path: Path,
        queue_limit: int = 64,
        owner_limit: int | None = None,
        clocks: Clocks = CLOCKS,
        *,
        check: bool = False,
    ) -> None:
        self.database = Database(path, clocks, check=check)
        self.leases = Leases(self.database)
        self.queue_limit = queue_limit
        self.owner_limit = owner_limit

    def close(self) -> None:
        self.database.close()

    def submit(self, asked: Submission) -> tuple[Job, bool]:
        """Queue a job, and say whether it is new: its idempotency key may name one that was submitted before.

        Raises:
            KeyReused: the key's job has another request.
            QueueFull: too many jobs wait, or too many are the owner's.
            OutputError: the store cannot be written.
        """
        # Reading first refuses at once, without waiting for those who write.
        known = self._known(asked)
        if known is not None:
            return known, False
        self._check_room(asked.owner)
        now, job = self.database.now(), uuid.uuid4().hex
        with self.database.transaction() as write:
            known = self._known(asked)
            if known is not None:
                return known, False
            self._check_room(asked.owner)
            clocks, patience = self.database.clocks, asked.patience
            row = {
                "id": job,
                "owner": asked.owner,
                "request": asked.request.to_json(),
                "priority": PRIORITIES.index(asked.priority),
                "key": asked.key,
                "patience": patience,
                "deadline": None if patience is None else now + patience,
                "due": None if patience is None else clocks.steady() + patience,
                "boot": clocks.boot(),
                "before": asked.handles.before,
                "after": asked.handles.after,
                "preview_every": asked.preview_every,
                "watched": asked.watched,
                "retry_of": asked.retry_of,
                "created": now,
                "updated": now,
            }
            marks = ", ".join(f":{name}" for name in row)
            write.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({marks})", row)
            labels = [(job, *label) for label in asked.labels.items()]
            write.executemany("INSERT INTO labels (job, name, value) VALUES (?, ?, ?)", labels)
            add_event(write, job, now, queued(0))
        return self.get(asked.owner, job), True

    def check_room(self, owner: str, key: str | None = None) -> None:
        """Refuse early, before anything is made for a job that would not be taken.

        Raises:
            QueueFull: too many jobs wait, or too many are the owner's, and ``key`` names none of them.
        """
        if key is None or not self.database.read("SELECT 1 FROM jobs WHERE owner = ? AND key = ?", owner, key):
            self._check_room(owner)

    def get(self, owner: str, job: str) -> Job:
        """A job of the owner.

        Raises:
            JobNotFound: the owner has none of that id.
        """
        return read_job(self._row(owner, job))

    def jobs(
        self,
        owner: str,
        limit: int = 100,
        before: str | None = None,
        states: Sequence[JobState] = (),
        labels: Mapping[str, str] = MappingProxyType({}),
    ) -> list[Job]:
        """The owner's jobs, newest first.

        Args:
            limit: how many at most.
            before: only jobs older than this one of the owner's.
            states: only jobs in one of these; none means all.
            labels: only jobs that have all of these.

        Raises:
            JobNotFound: ``before`` is none of the owner's.
        """
        below = 2**63 - 1 if before is None else self._row(owner, before)["number"]
        among = f"AND state IN ({', '.join('?' * len(states))})" if states else ""
        labelled = "AND id IN (SELECT job FROM labels WHERE name = ? AND value = ?) " * len(labels)
        wanted = [text for label in labels.items() for text in label]
        sql = f"SELECT * FROM jobs WHERE owner = ? AND number < ? {among} {labelled}ORDER BY number DESC LIMIT ?"
        rows = self.database.read(sql, owner, below, *states, *wanted, limit)
        return [read_job(row) for row in rows]

    def labels(self, jobs: Sequence[str]) -> dict[str, dict[str, str]]:
        """The labels of jobs, by their ids; those that have none are left out."""
        found: dict[str, dict[str, str]] = {}
        marks = ", ".join("?" * len(jobs))
        for row in self.database.read(f"SELECT * FROM labels WHERE job IN ({marks}) ORDER BY job, name", *jobs):
            # What no client can have sent is none.
            if all(isinstance(text, str) and is_unicode(text) for text in row):
                found.setdefault(row["job"], {})[row["name"]] = row["value"]
        return found

    def position(self, owner: str, job: str) -> int | None:
        """How many jobs start before it (0: it is next); None where it does not wait.

        Raises:
            JobNotFound: the owner has none of that id.
        """
        row = self._row(owner, job)
        if row["state"] != "queued":
            return None
        ahead = self.database.read(
            "SELECT count(*) FROM jobs WHERE state = 'queued' AND (priority, number) < (?, ?)",
            row["priority"],
            row["number"],
        )
        return int(ahead[0][0])

    def standings(self) -> dict[str, Standing]:
        """How all jobs stand that wait or run, of all owners, by their ids."""
        queued = "state = 'queued'"
        rows = self.database.read(
            f"SELECT id, last_event, attempts, CASE WHEN {queued} THEN "
            f"row_number() OVER (PARTITION BY {queued} ORDER BY priority, number) - 1 END AS position "
            "FROM jobs WHERE state IN ('queued', 'running')"
        )
        return {row["id"]: Standing(row["last_event"], row["position"], row["attempts"]) for row in rows}

    def waiting(self) -> int:
        """How many jobs are queued, of all owners."""
        return self.counts()["queued"]

    def counts(self) -> Counter[str]:
        """How many jobs are in each state, of all owners."""
        rows = self.database.read("SELECT state, count(*) FROM jobs GROUP BY state")
        return Counter({row[0]: row[1] for row in rows})

    def unfinished(self) -> list[EditRequest]:
        """The requests of all jobs that wait or run, whose inputs are still needed."""
        rows = self.database.read("SELECT * FROM jobs WHERE state IN ('queued', 'running')")
        return [job.request for job in map(read_job, rows) if job.request is not None]

    def cancel_watched(self, reason: str) -> None:
        """Cancel the jobs whose watchers the last process of the server took with it.

        Raises:
            OutputError: the store cannot be written.
        """
        sql = "SELECT owner, id FROM jobs WHERE watched AND state IN ('queued', 'running')"
        for row in self.database.read(sql):
            self.cancel(row["owner"], row["id"], reason)

    def forget(self, now: float, keep_seconds: float) -> list[str]:
        """Delete the rows of jobs that have ended and been kept for so long, and return their ids.

        Args:
            now: by the house's own time, from which on a job is kept that is seen to have ended.

        Raises:
            OutputError: the store cannot be written.
        """
        ended = "state IN ('done', 'failed', 'cancelled') AND unneeded IS NULL"
        gone = "unneeded < ?"
        if not self.database.read(f"SELECT 1 FROM jobs WHERE ({ended}) OR {gone} LIMIT 1", now - keep_seconds):
            return []
        with self.database.transaction() as write:
            write.execute(f"UPDATE jobs SET unneeded = ? WHERE {ended}", (now,))
            old = [row[0] for row in write.execute(f"SELECT id FROM jobs WHERE {gone}", (now - keep_seconds,))]
            write.execute(f"DELETE FROM jobs WHERE {gone}", (now - keep_seconds,))
        return old

    def cancel(self, owner: str, job: str, reason: str = "Its user cancelled it") -> Job:
        """Stop a job: one that waits at once, one that runs at its next step, a finished one not at all.

        Raises:
            JobNotFound: the owner has none of that id.
            OutputError: the store cannot be written.
        """
        with self.database.transaction() as write:
            row = self._row(owner, job)
            if row["state"] == "queued":
                end_job(write, job, self.database.now(), job_pb2.Cancelled(reason=reason))
            elif row["state"] == "running":
                write.execute("UPDATE jobs SET cancelling = ? WHERE id = ?", (reason, job))
        return self.get(owner, job)

    def events(self, owner: str, job: str, after: int = 0, limit: int = 100) -> list[job_pb2.JobEvent]:
        """The job's events with a higher sequence number than ``after``, oldest first, ``limit`` at most.

        Raises:
            JobNotFound: the owner has none of that id.
            StoreError: another version of MIVE wrote one of them.
        """
        if not self.database.read("SELECT 1 FROM jobs WHERE id = ? AND owner = ?", job, owner):
            raise JobNotFound(job)
        rows = self.database.read(
            "SELECT * FROM events WHERE job = ? AND sequence > ? ORDER BY sequence LIMIT ?", job, after, limit
        )
        return [read_event(row) for row in rows]

    def _row(self, owner: str, job: str) -> sqlite3.Row:
        rows = self.database.read("SELECT * FROM jobs WHERE id = ? AND owner = ?", job, owner)
        if not rows:
            raise JobNotFound(job)
        return rows[0]

    def _known(self, asked: Submission) -> Job | None:
        if asked.key is None:
            return None
        rows = self.database.read("SELECT * FROM jobs WHERE owner = ? AND key = ?", asked.owner, asked.key)
        if not rows:
            return None
        job = read_job(rows[0])
        if differing := differences(job, self.labels([job.id]).get(job.id, {}), asked):
            raise KeyReused(differing)
        return job

    def _check_room(self, owner: str) -> None:
        if self.waiting() >= self.queue_limit:
            raise QueueFull(
                f"the queue is full: {self.queue_limit} jobs wait",
                expected="room for one more",
                fix=f"Try again in {RETRY_SECONDS:.0f} seconds",
                retry_after=RETRY_SECONDS,
            )
        if self.owner_limit is None:
            return
        sql = "SELECT count(*) FROM jobs WHERE owner = ? AND state IN ('queued', 'running')"
        if self.database.read(sql, owner)[0][0] >= self.owner_limit:
            raise QueueFull(
                f"{self.owner_limit} jobs of this token wait or run",
                expected="fewer",
                fix="Wait until one is done, or cancel one",
                retry_after=RETRY_SECONDS,
            )
