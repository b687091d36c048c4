"""One worker process per device, started again when it crashes."""

from __future__ import annotations

import logging
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from mive.server.leases import Leases, WorkerStatus
from mive.server.loops import going_on
from mive.server.options import HUNG, WorkerOptions

WATCH_SECONDS = 0.5
"""How often jobs are looked for that nobody will end; a worker that ends is noticed at once."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a crashed worker is started again; they double with every crash."""
HEALTHY_SECONDS = 60.0
"""A worker that lived this long crashes for a new reason."""

log = logging.getLogger(__name__)


class Workers(Protocol):
    """Whoever edits jobs from the store: processes here, or actors on other machines."""

    def start(self) -> None:
        """Start all workers and return; they load their models meanwhile."""

    def statuses(self) -> list[WorkerStatus]:
        """How each worker is, in a fixed order."""

    def drain(self, seconds: float) -> None:
        """Stop all workers; running jobs end within ``seconds`` or are left at a checkpoint."""


@dataclass
class _Slot:
    """A device and the process that works on it."""

    options: WorkerOptions
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE
    again_at: float = 0.0
    error: dict[str, str | None] | None = field(default=None)


class Supervisor:
    """Worker processes on this machine.

    Args:
        leases: of the job store.
        options: one per device; the names are prefixes, since every process gets a name of its own.
        program: what a process runs, with its options as one more argument.
    """

    def __init__(
        self,
        leases: Leases,
        options: Sequence[WorkerOptions],
        program: Sequence[str] = (sys.executable, "-m", "mive.server.worker"),
    ) -> None:
        self._program = program
        self._leases = leases
        self._slots = [_Slot(each) for each in options]
        self._names = [each.name for each in options]
        self._over = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """See `Workers.start`."""
        self._leases.forget_workers()
        for slot, name in zip(self._slots, self._names, strict=True):
            self._start(slot, name)
        self._thread.start()

    def statuses(self) -> list[WorkerStatus]:
        """See `Workers.statuses`. The last error stays until the worker is ready."""
        known = {status.name: status for status in self._leases.workers()}
        statuses = []
        for slot in self._slots:
            name, device = slot.options.name, slot.options.device
            status = known.get(name, WorkerStatus(name, device, "loading", None, time.time()))
            if status.state == "loading" and status.error is None:
                status = replace(status, error=slot.error)
            statuses.append(status)
        return statuses

    def pids(self) -> list[int]:
        """Process ids of the workers that live."""
        return [s.process.pid for s in self._slots if s.process is not None and s.process.poll() is None]

    def drain(self, seconds: float) -> None:
        """See `Workers.drain`. A worker in an endless step is killed; its job has its last checkpoint."""
        self._over.set()
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        end = time.monotonic() + seconds
        running = [(slot, slot.process) for slot in self._slots if slot.process is not None]
        for _, process in running:
            process.terminate()
        for slot, process in running:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("worker %s: still in a step, killed", slot.options.name)
                process.kill()
                process.wait()
            self._settle(slot, process)

    def _start(self, slot: _Slot, prefix: str) -> None:
        slot.options = slot.options.model_copy(update={"name": f"{prefix}-{secrets.token_hex(4)}"})
        command = [*self._program, slot.options.to_json()]
        # The worker reads its standard input to its end, which comes when this process dies, however it dies.
        # A session of its own keeps Ctrl-C of a terminal away: only the supervisor decides when it stops.
        slot.process = process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        threading.Thread(target=self._await, args=(process,), name=f"wait-{process.pid}", daemon=True).start()
        slot.started = time.monotonic()
        log.info("worker %s: process %d", slot.options.name, slot.process.pid)

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._ended.set()

    def _watch(self) -> None:
        seen = None
        while not self._over.is_set():
            self._ended.clear()
            for slot, name in zip(self._slots, self._names, strict=True):
                with going_on(f"worker {slot.options.name} could not be looked after"):
                    self._tend(slot, name)
            with going_on("jobs that nobody ends could not be looked for"):
                self._leases.sweep()
                if (version := self._leases.version()) != seen:
                    seen = version
                    self._leases.fail_unreadable()
            self._ended.wait(WATCH_SECONDS)

    def _tend(self, slot: _Slot, name: str) -> None:
        now = time.monotonic()
        if slot.process is None:
            if now >= slot.again_at:
                self._start(slot, name)
            return
        code = slot.process.poll()
        if code is None:
            return
        self._settle(slot, slot.process)
        slot.process = None
        if now - slot.started > HEALTHY_SECONDS:
            slot.pause = FIRST_PAUSE
        slot.again_at = now + slot.pause
        log.warning("worker %s: ended with %d, again in %.1f s", slot.options.name, code, slot.pause)
        # The file is to blame, not the worker.
        slot.pause = FIRST_PAUSE if code == HUNG else min(2 * slot.pause, LONGEST_PAUSE)

    def _settle(self, slot: _Slot, process: subprocess.Popen[bytes]) -> None:
        """Free the jobs of a process that ended, and remember what it said."""
        if process.stdin is not None:
            process.stdin.close()
        name = slot.options.name
        errors = [status.error for status in self._leases.workers() if status.name == name]
        slot.error = errors[0] if errors else None
        self._leases.release_all(name)
        if slot.error is None:
            self._leases.announce(name, slot.options.device, "stopped")
