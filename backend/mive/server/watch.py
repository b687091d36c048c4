"""Watches over one running job: its lease, its events, and whether it has to stop."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mive.errors import Cancelled, OutputError
from mive.progress import Progress
from mive.request import FrameRange
from mive.server.jobs import Job
from mive.server.leases import LeaseLost, Leases
from mive.server.results import JobResults
from mive.server.task import Task

QUIET_SECONDS = 0.1
"""Progress of one stage is told no more often."""

log = logging.getLogger(__name__)


class Drained(Exception):
    """The worker is to end; the job goes on later, from its last checkpoint."""


class Watch:
    """The worker's side of a `Task`.

    Args:
        leases: of the job store.
        job: that runs.
        worker: who holds it.
        draining: whether the time that a job has left is over.
    """

    def __init__(self, leases: Leases, job: Job, worker: str, draining: Callable[[], bool]) -> None:
        self._leases = leases
        self._job = job.id
        self._request = job.request
        self._worker = worker
        self._draining = draining
        self._told: tuple[str, int] | None = None
        self._told_at = 0.0
        self._first_step: tuple[int, float] | None = None

    def task(self, window: int | None, checkpoints: Path, results: JobResults) -> Task:
        """The job for its renderer."""
        return Task(
            self._request, window, checkpoints, results, self.report, self._opened, self._checkpointed, self._finished
        )

    def report(self, progress: Progress) -> None:
        """Tell the watchers, and stop the edit where it has to.

        Raises:
            Cancelled: its user wants it to stop.
            Drained: the worker is to end.
            LeaseLost: the job is somebody else's.
        """
        reason = self._leases.cancelling(self._job, self._worker)
        if reason is not None:
            raise Cancelled(reason)
        if self._draining():
            raise Drained
        now, place = time.monotonic(), (progress.stage, progress.window)
        if place == self._told and now < self._told_at + QUIET_SECONDS and progress.done < progress.total:
            return
        self._told, self._told_at = place, now
        body: dict[str, object] = {
            "done": progress.done,
            "total": progress.total,
            "window": progress.window,
            "windows": progress.windows,
        }
        # An inversion that is computed has more than one step per window.
        if progress.stage == "inversion" and progress.total == progress.windows:
            body["cached"] = True
        eta = self._eta(progress, now)
        if eta is not None:
            body["eta"] = round(eta, 1)
        self._leases.event(self._job, self._worker, progress.stage, body, slot=progress.stage)

    def _eta(self, progress: Progress, now: float) -> float | None:
        """Seconds until the job should be done, from the steps since it (last) started; they are most of the work."""
        if progress.stage != "sampling":
            return None
        if self._first_step is None:
            self._first_step = progress.done, now
        done, since = self._first_step
        made = progress.done - done
        return (now - since) / made * (progress.total - progress.done) if made else None

    def _opened(self, frames: FrameRange) -> None:
        self._leases.opened(self._job, self._worker, frames)

    def _checkpointed(self) -> None:
        self._leases.checkpointed(self._job, self._worker)

    def _finished(self, frames: FrameRange, window: int, windows: int) -> None:
        body = {"first": frames.first, "last": frames.last, "window": window, "windows": windows}
        # A window that was decoded twice because of a crash is told once.
        self._leases.event(self._job, self._worker, "window_finished", body, slot=f"window {window}")


@contextlib.contextmanager
def heartbeat(leases: Leases, job: str, worker: str, seconds: float) -> Iterator[None]:
    """Renews a lease of ``seconds`` from another thread, since one step may take longer than the lease."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(seconds / 3):
            try:
                leases.renew(job, worker, seconds)
            except LeaseLost:
                return
            except OutputError as error:
                log.warning("job %s: the lease could not be renewed: %s", job, error)

    thread = threading.Thread(target=beat, name=f"heartbeat-{job}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
