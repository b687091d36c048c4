"""A worker process: ``python -m mive.server.worker OPTIONS``, with `WorkerOptions` as JSON."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence

from mive.base.work import Costs
from mive.errors import Cancelled, EngineError, MediaError, MiveError, OutOfMemory, OutputError
from mive.media.reading import longest_reading
from mive.server.bell import Listener
from mive.server.image_limits import check_images, limit_images
from mive.server.jobs import Job
from mive.server.leases import LeaseLost
from mive.server.logs import about, set_up_logging, take_over
from mive.server.loops import going_on
from mive.server.options import HUNG, WorkerOptions
from mive.server.results import Results
from mive.server.store import JobStore
from mive.server.task import Rendered, Renderer
from mive.server.watch import Drained, Watch, heartbeat
from mive.v1 import job_pb2
from mive.wire.request import range_to_message

LOOK_SECONDS = 1.0
"""How often an idle worker looks for a job that nobody rang for: one whose worker was lost."""

TROUBLED_SECONDS = 1.0
"""How long it waits besides while the job store cannot be written."""

# As a program this module is called __main__, whose messages would not show.
log = logging.getLogger("mive.server.worker")


class Worker:
    """Takes jobs from the store and edits them, one after the other.

    Args:
        store: the job store.
        options: the worker's; its bundle is already loaded.
        renderer: edits the jobs.
    """

    def __init__(self, store: JobStore, options: WorkerOptions, renderer: Renderer) -> None:
        self.name = options.name
        self.options = options
        self.store = store
        self.renderer = renderer
        self.results = Results(options.results, options.results_limit, store.database.bell.ring)
        self._drained_at: float | None = None
        self._listener: Listener | None = None
        self._running: Job | None = None
        self._costs = Costs()

    def drain(self, seconds: float) -> None:
        """Take no more jobs; the running one ends, or is at a checkpoint after ``seconds`` and one step.

        It only sets a number and wakes the worker, so that a signal handler may call it.
        """
        self._drained_at = time.monotonic() + seconds
        if self._listener is not None:
            self._listener.ring()

    def run(self) -> None:
        """Edit jobs until drained."""
        with Listener(self.store.database.bell.folder) as self._listener:
            while self._drained_at is None:
                try:
                    worked = self.step()
                except OutputError as error:
                    log.error("%s", error)
                    time.sleep(TROUBLED_SECONDS)
                    worked = False
                if not worked and self._drained_at is None:
                    self._listener.wait(LOOK_SECONDS)
        self._listener = None

    def step(self) -> bool:
        """Edit the next job, if there is one.

        Whatever becomes of the job is told in the store. Only what makes the process useless is raised: a device that
        cannot free the job's memory.
        """
        job = self.store.leases.claim(self.name, self.options.lease_seconds)
        if job is None:
            return False
        beating = heartbeat(self.store.leases, job.id, self.name, self.options.lease_seconds)
        with about(job=job.id, owner=job.owner), beating:
            log.info("started, time %d", job.attempts)
            self._running = job
            self._edit(job)
            self._running = None
        self.renderer.free()
        return True

    def give_up(self, path: str, seconds: float) -> None:
        """Fail the running job, whose file has not answered for so long. Another thread calls it, and ends the process.

        Nothing else ends a read that hangs; the next process goes on with the next job.
        """
        job = self._running
        if job is None:
            return
        with about(job=job.id, owner=job.owner):
            log.error("a file has not answered for %.0f s; this worker ends", seconds)
            self._fail(
                job,
                MediaError(
                    f"{path} has not answered for {seconds:.0f} seconds",
                    expected="a file on a disk that answers, in a format that can be decoded",
                    fix="Look at the disk that it lies on, or upload the file",
                ),
            )

    def _edit(self, job: Job) -> None:
        leases = self.store.leases
        try:
            self._finish(job, self._render(job))
        except LeaseLost:
            log.warning("another worker has the job now")
        except Drained:
            log.info("stopped at a checkpoint")
            # What cannot be told shows when the lease expires.
            with contextlib.suppress(LeaseLost, OutputError):
                leases.release(job.id, self.name)
        except Cancelled as error:
            reason = error.what
            log.info("cancelled")
            self._end(job, lambda: leases.cancelled(job.id, self.name, reason))
        except MiveError as error:
            self._fail(job, error)
        except Exception as error:
            log.exception("unexpected error")
            self._fail(job, _unexpected(error))

    def _render(self, job: Job) -> Rendered:
        """Edit it; out of memory, once more from the start with half the window."""
        own = self.options
        limits = (own.most_frames, own.longest_side, own.matte_bytes)
        watch = Watch(self.store.leases, job, self.name, self._out_of_time, *limits, costs=self._costs)
        checkpoints, results = self.options.checkpoints / job.id, self.results
        task = watch.task(job.window, checkpoints, results)
        check_images(task.request, self.options.longest_side)
        try:
            rendered = self.renderer.render(task)
            watch.learn()
            return rendered
        except OutOfMemory:
            half = None if job.window is not None else self.renderer.half_window(task.request)
            if half is None:
                raise
        # Here the error, and with it all that its frames held, is gone.
        self.renderer.free()
        log.warning("out of memory, once more with windows of %d frames", half)
        self.store.leases.narrow(job.id, self.name, half)
        self._clear(job)
        return self.renderer.render(watch.task(half, checkpoints, results))

    def _finish(self, job: Job, rendered: Rendered) -> None:
        manifest, frames = rendered.manifest.to_json(), rendered.manifest.frames
        self.results.publish(job.id, rendered.key, manifest)
        done = job_pb2.Done(frames=range_to_message(frames), warnings=rendered.warnings, cached=rendered.cached)
        self.store.leases.done(job.id, self.name, manifest, done)
        log.info("done")
        shutil.rmtree(self.options.checkpoints / job.id, ignore_errors=True)
        self.results.prune(keep=job.id)

    def _fail(self, job: Job, error: MiveError) -> None:
        log.info("failed: %s", type(error).__name__)
        self._end(job, lambda: self.store.leases.failed(job.id, self.name, error))

    def _end(self, job: Job, tell: Callable[[], None]) -> None:
        """Tell how the job ended, and remove what it made. On a full disk only removing makes room for telling."""
        try:
            try:
                tell()
            except OutputError:
                self._clear(job)
                tell()
        except LeaseLost:
            return
        except OutputError as error:
            log.error("its end could not be told, so it will run again: %s", error)
        self._clear(job)

    def _clear(self, job: Job) -> None:
        self.results.remove(job.id)
        shutil.rmtree(self.options.checkpoints / job.id, ignore_errors=True)

    def _out_of_time(self) -> bool:
        return self._drained_at is not None and time.monotonic() >= self._drained_at


def _unexpected(error: Exception) -> EngineError:
    return EngineError(
        f"the edit ended with an unexpected {type(error).__name__}",
        expected="no such error; it is a fault of MIVE",
        fix="Look for the job's id in the server's log, and report what it says there",
    )


def main(arguments: Sequence[str]) -> int:
    """Run a worker until SIGTERM, SIGINT, SIGHUP or the end of standard input, which means that its supervisor died.

    Returns:
        0, or the exit code of the error that kept it from starting.
    """
    options = WorkerOptions.from_json(arguments[0])
    set_up_logging(options.log, worker=options.name)
    limit_images(options.longest_side)
    store = JobStore(options.jobs)
    leases = store.leases
    try:
        leases.announce(options.name, options.device, "loading")
        renderer = _make_renderer(options)
    except MiveError as error:
        log.error("%s", error)
        leases.announce(options.name, options.device, "failed", error)
        return error.exit_code
    # What models bring with them is imported by now.
    take_over()
    worker = Worker(store, options, renderer)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: worker.drain(options.drain_seconds))
    threading.Thread(target=_await_end, args=(worker,), daemon=True).start()
    threading.Thread(target=_await_answers, args=(worker, options.read_seconds), daemon=True).start()
    leases.announce(options.name, options.device, "ready", about=renderer.about())
    worker.run()
    leases.announce(options.name, options.device, "stopped")
    return 0


def _make_renderer(options: WorkerOptions) -> Renderer:
    # Here, because torch takes seconds to import and the supervisor never needs it.
    from mive.editing.inversions import InversionCache
    from mive.server.renderer import EditRenderer

    cache = InversionCache(options.inversions, options.inversions_limit)
    renderer = EditRenderer(options.device, cache, options.engine)
    if options.bundle is not None:
        renderer.load(options.bundle)
    return renderer


def _await_end(worker: Worker) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    worker.drain(0)


def _await_answers(worker: Worker, seconds: float) -> None:
    """Ends the process where a file does not answer."""
    while True:
        time.sleep(min(seconds / 10, 1.0))
        asked = longest_reading()
        if asked is not None and asked[1] > seconds:
            with going_on("a job whose file does not answer could not be failed"):
                worker.give_up(*asked)
            os._exit(HUNG)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
