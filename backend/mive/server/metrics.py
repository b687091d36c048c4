"""What a server counts, for Prometheus.

No label holds anything that a client chose: no owners, jobs, captions, paths, and only methods that exist.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections import Counter as Count
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from mive.base.jobs import FINISHED, STATES
from mive.server.errors import StoreError
from mive.server.jobs import read_message
from mive.server.leases import WorkerState
from mive.server.options import Folders
from mive.server.store import JobStore
from mive.server.supervisor import Workers

SIZE_SECONDS: Final = 60.0
"""How old the sizes of folders may be: measuring them reads every file's entry."""

_STAGE_BUCKETS: Final = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
_CALL_BUCKETS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 1000)


class Metrics:
    """All metrics of one server, in a registry of its own.

    Jobs end in other processes, so what they did is counted from the store whenever the metrics are asked for.

    Args:
        store: its jobs.
        workers: who edits them.
        folders: where its files lie.

    Attributes:
        upload_bytes: to be increased by what arrives.
        calls, call_seconds: for `MetricsInterceptor`.
    """

    def __init__(self, store: JobStore, workers: Workers, folders: Folders) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.upload_bytes = Counter("mive_upload_bytes", "Bytes of uploads that arrived", registry=registry)
        self.calls = Counter("mive_calls", "Calls that ended", ["method", "code"], registry=registry)
        self.call_seconds = Histogram(
            "mive_call_seconds",
            "How long calls took in seconds; streams count until their end",
            ["method"],
            registry=registry,
            buckets=_CALL_BUCKETS,
        )
        registry.register(_Jobs(store))
        registry.register(_Now(store, workers, folders))


class _Jobs(Collector):
    """Counts the jobs that ended since it was made."""

    def __init__(self, store: JobStore) -> None:
        self._database = store.database
        self._counted = self._last()
        self._lock = threading.Lock()
        self._ended = Counter(
            "mive_jobs_ended", "Jobs that ended as done, failed or cancelled", ["outcome"], registry=None
        )
        self._frames = Counter("mive_frames_rendered", "Frames that finished jobs made", registry=None)
        self._seconds = Histogram(
            "mive_stage_seconds",
            "Seconds of a finished job by stage (load, inversion, sampling and so on), and in total",
            ["stage"],
            registry=None,
            buckets=_STAGE_BUCKETS,
        )
        for outcome in FINISHED:
            self._ended.labels(outcome)

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            for row in self._new():
                self._count(row)
        for metric in (self._ended, self._frames, self._seconds):
            yield from metric.collect()

    def _last(self) -> int:
        return int(self._database.read("SELECT coalesce(max(ending), 0) FROM jobs")[0][0])

    def _new(self) -> list[sqlite3.Row]:
        rows = self._database.read(
            "SELECT ending, state, manifest, message FROM jobs "
            "LEFT JOIN events ON events.job = jobs.id AND events.sequence = jobs.last_event WHERE ending > ?",
            self._counted,
        )
        self._counted = max([self._counted, *(row["ending"] for row in rows)])
        return rows

    def _count(self, row: sqlite3.Row) -> None:
        self._ended.labels(row["state"]).inc()
        if row["state"] != "done" or row["manifest"] is None or _was_cached(row["message"]):
            return
        # Another version's manifest counts as a job that ended, and no more.
        with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError):
            manifest = json.loads(row["manifest"])
            self._frames.inc(manifest["frames"]["last"] - manifest["frames"]["first"] + 1)
            for stage, seconds in manifest["seconds"].items():
                self._seconds.labels(stage).observe(seconds)


def _was_cached(message: object) -> bool:
    try:
        return read_message(message).done.cached
    except StoreError:
        return False


class _Now(Collector):
    """How things stand when the metrics are asked for."""

    def __init__(self, store: JobStore, workers: Workers, folders: Folders) -> None:
        self._store = store
        self._workers = workers
        self._folders = folders
        self._sizes: dict[str, int] = {}
        self._measured = float("-inf")

    def collect(self) -> Iterator[Metric]:
        jobs = self._store.counts()
        by_state: dict[str, int] = {state: jobs[state] for state in STATES}
        yield _gauge("mive_jobs", "Jobs in the store now; queued is the length of the queue", "state", by_state)
        states = Count[str](status.state for status in self._workers.statuses())
        workers = {state: states[state] for state in get_args(WorkerState)}
        yield _gauge("mive_workers", "Workers now: loading, ready, failed, draining or stopped", "state", workers)
        what = "Bytes of uploads, inputs, checkpoints, results and inversions; at most a minute old"
        yield _gauge("mive_stored_bytes", what, "kind", self._stored())

    def _stored(self) -> dict[str, int]:
        if time.monotonic() > self._measured + SIZE_SECONDS:
            folders = {path.name: path for path in self._folders.data.glob("*/")}
            self._sizes = {name: folder_bytes(path) for name, path in folders.items()}
            self._measured = time.monotonic()
        return self._sizes


def _gauge(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        gauge.add_metric([value], number)
    return gauge


def folder_bytes(folder: Path) -> int:
    """Size of all files below a folder; those with several names count once, those that just went not at all."""
    sizes = {}
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                info = os.lstat(os.path.join(place, name))
                sizes[info.st_ino] = info.st_size
    return sum(sizes.values())
