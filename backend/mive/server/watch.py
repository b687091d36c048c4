"""Watches over one running job: its lease, its events, and whether it has to stop."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from mive.base.progress import Progress
from mive.base.work import Costs, Estimate
from mive.errors import Cancelled, MediaError, MiveError, OutputError
from mive.manifest import Manifest
from mive.media import ClipInfo
from mive.request import FrameRange
from mive.server.jobs import Job
from mive.server.leases import LeaseLost, Leases
from mive.server.options import LONGEST_SIDE, MATTE_BYTES, MOST_FRAMES
from mive.server.results import JobResults, Results
from mive.server.task import Image, Task
from mive.v1 import job_pb2, media_pb2
from mive.wire.clip import clip_to_message
from mive.wire.progress import progress_to_event
from mive.wire.request import range_to_message

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
        most_frames: that one job may have.
        longest_side: of a frame, in pixels.
        matte_bytes: of memory that the mattes of one frame may take.
        costs: what the worker has learned of edits; `learn` adds to it.
    """

    def __init__(
        self,
        leases: Leases,
        job: Job,
        worker: str,
        draining: Callable[[], bool],
        most_frames: int = MOST_FRAMES,
        longest_side: int = LONGEST_SIDE,
        matte_bytes: int = MATTE_BYTES,
        costs: Costs | None = None,
    ) -> None:
        self._leases = leases
        self._job = job
        self._worker = worker
        self._draining = draining
        self._most_frames = most_frames
        self._longest_side = longest_side
        self._matte_bytes = matte_bytes
        self._told: tuple[str, int] | None = None
        self._told_at = 0.0
        self._results: JobResults | None = None
        self._estimate = Estimate(costs or Costs())

    def task(self, window: int | None, checkpoints: Path, results: Results) -> Task:
        """The job for its renderer."""
        assert self._job.request is not None, "nobody is given a job that cannot be read"
        self._results = results.of(self._job.id)
        return Task(
            owner=self._job.owner,
            request=self._job.request,
            handles=self._job.handles,
            window=window,
            checkpoints=checkpoints,
            results=self._results,
            report=self.report,
            opened=self._opened,
            matte_bytes=self._matte_bytes,
            planned=self._estimate.begin,
            checkpointed=self._checkpointed,
            finished=self._finished,
            preview_every=self._job.preview_every,
            preview=self._preview,
            warned=self._warned,
            adopt=partial(self._adopt, results),
        )

    def report(self, progress: Progress) -> None:
        """Tell the watchers, and stop the edit where it has to.

        Raises:
            Cancelled: its user wants it to stop.
            Drained: the worker is to end.
            LeaseLost: the job is somebody else's.
        """
        reason = self._leases.cancelling(self._job.id, self._worker)
        if reason is not None:
            raise Cancelled(reason)
        if self._draining():
            raise Drained
        eta = self._estimate.follow(progress)
        now, place = time.monotonic(), (progress.stage, progress.window)
        if place == self._told and now < self._told_at + QUIET_SECONDS and progress.done < progress.total:
            return
        self._told, self._told_at = place, now
        # An inversion that is computed has more than one step per window.
        cached = progress.stage == "inversion" and progress.total == progress.windows
        eta = None if eta is None else round(eta, 1)
        event = progress_to_event(progress, eta=eta, cached=cached)
        reached = (progress.stage, self._estimate.share(), eta)
        self._leases.event(self._job.id, self._worker, event, progress.stage, reached)

    def learn(self) -> None:
        """The job is done: what its stages took says how long later ones will."""
        self._estimate.end()

    def _opened(self, frames: FrameRange, clip: ClipInfo) -> None:
        if len(frames) > self._most_frames:
            raise _too_much("frames", f"{len(frames)} frames", f"at most {self._most_frames} in one job")
        side = max(clip.width, clip.height)
        if side > self._longest_side:
            raise _too_much("clip", f"frames of {clip.width} × {clip.height}", f"at most {self._longest_side} a side")
        about = clip_to_message(clip).SerializeToString()
        self._leases.opened(self._job.id, self._worker, frames, about)

    def _checkpointed(self) -> None:
        self._leases.checkpointed(self._job.id, self._worker)

    def _finished(self, frames: FrameRange, window: int, windows: int) -> None:
        assert self._results is not None
        # Once for all its frames, before a checkpoint takes them for granted.
        self._results.flush()
        told = job_pb2.WindowFinished(frames=range_to_message(frames), window=window, windows=windows)
        # A window that was decoded twice because of a crash is told once.
        self._tell(job_pb2.JobEvent(window_finished=told), f"window {window}")

    def _adopt(self, results: Results, key: str) -> Manifest | None:
        text = results.adopt(self._job.id, key)
        try:
            return None if text is None else Manifest.from_json(text)
        except MiveError:
            # Another version wrote it.
            results.of(self._job.id).clear()
            return None

    def _warned(self, warnings: Sequence[str]) -> None:
        if warnings:
            self._tell(job_pb2.JobEvent(warned=job_pb2.Warned(warnings=warnings)), "warned")

    def _preview(self, instance: int, frame: int, image: Image, done: int, total: int) -> None:
        layout = media_pb2.FrameFormat(
            width=image.shape[1],
            height=image.shape[0],
            channels=3,
            pixel_format=media_pb2.PIXEL_FORMAT_U8,
            row_order=media_pb2.ROW_ORDER_TOP_DOWN,
        )
        preview = job_pb2.Preview(
            instance_id=instance, frame=frame, done=done, total=total, format=layout, data=image.tobytes()
        )
        self._tell(job_pb2.JobEvent(preview=preview), f"preview {instance}")

    def _tell(self, event: job_pb2.JobEvent, slot: str) -> None:
        self._leases.event(self._job.id, self._worker, event, slot)


def _too_much(field: str, what: str, expected: str) -> MediaError:
    return MediaError(what, expected=expected, fix="Split the shot, or ask who runs the server for more", field=field)


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
                log.warning("the lease of job %s could not be renewed: %s", job, error)

    thread = threading.Thread(target=beat, name=f"heartbeat-{job}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
