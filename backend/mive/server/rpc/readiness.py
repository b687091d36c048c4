"""Whether jobs are taken: the state of the workers, for health checks, clients and the calls that need to know."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from grpc_health.v1 import health, health_pb2

from mive.errors import MiveError
from mive.server.errors import NotReady
from mive.server.leases import WorkerStatus
from mive.server.loops import going_on
from mive.server.rpc.messages import stored_error
from mive.server.rpc.pulse import Pulse
from mive.server.supervisor import Workers
from mive.v1 import mive_pb2

SERVICE: Final = "mive.v1.Mive"
LIVENESS: Final = "liveness"
"""This name serves as long as the process answers, whatever the models do."""

LOOK_SECONDS: Final = 1.0
"""How old the state of the workers is at most; as a rule they ring when it changes."""

REST_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class Readiness:
    """Follows the workers.

    Args:
        workers: who edits.
        servicer: tells health checks: "" and the service's name serve once a worker is ready.
    """

    def __init__(self, workers: Workers, servicer: health.aio.HealthServicer) -> None:
        self._workers = workers
        self._servicer = servicer
        self._draining = False
        self._told: bool | None = None
        self._since = time.monotonic()
        self.statuses: Sequence[WorkerStatus] = ()

    async def start(self) -> None:
        """Answer health checks, before any call can come."""
        await self._servicer.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        await self._tell()

    async def run(self, pulse: Pulse) -> None:
        """Follow until cancelled.

        Args:
            pulse: of the store that workers tell how they are.
        """
        while True:
            beat = pulse.count
            with going_on("the workers could not be looked at"):
                self.statuses = await asyncio.to_thread(self._workers.statuses)
                await self._tell()
            await asyncio.sleep(REST_SECONDS)
            await pulse.after(beat, LOOK_SECONDS)

    async def drain(self) -> None:
        """From now on nothing is taken any more."""
        self._draining = True
        await self._tell()

    @property
    def state(self) -> mive_pb2.LoadState.ValueType:
        """What can be expected."""
        if self._draining:
            return mive_pb2.LOAD_STATE_DRAINING
        if any(status.state == "ready" for status in self.statuses):
            return mive_pb2.LOAD_STATE_READY
        return mive_pb2.LOAD_STATE_FAILED if self.cause is not None else mive_pb2.LOAD_STATE_LOADING

    @property
    def cause(self) -> MiveError | None:
        """Why no worker is ready, where one has said so."""
        stored = next((status.error for status in self.statuses if status.error is not None), None)
        return None if stored is None else stored_error(stored)

    def check(self) -> None:
        """Refuse a job now if it cannot be taken.

        Raises:
            NotReady: the server loads, could not load, or is about to end.
        """
        if self.state != mive_pb2.LOAD_STATE_READY:
            what, fix = self._why_not()
            raise NotReady(what, expected="a server that is ready", fix=fix, retry_after=RETRY_SECONDS)

    def _why_not(self) -> tuple[str, str]:
        state, cause = self.state, self.cause
        if state == mive_pb2.LOAD_STATE_DRAINING:
            return "the server is about to end and takes no new jobs", "Try again when it is back"
        elif state == mive_pb2.LOAD_STATE_LOADING:
            return "the server is loading its model", f"Try again in {RETRY_SECONDS:.0f} seconds"
        assert cause is not None
        return f"the server could not load its model: {cause.what}", cause.fix or "Look at the server's log"

    async def _tell(self) -> None:
        ready = self.state == mive_pb2.LOAD_STATE_READY
        if ready != self._told:
            self._told = ready
            if ready:
                log.info("ready: jobs are taken, %.1f s after the start", time.monotonic() - self._since)
            else:
                log.info("not ready: %s", self._why_not()[0])
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE):
            await self._servicer.set(name, status)
