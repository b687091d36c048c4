"""Whether jobs are taken: the state of the workers, for health checks, clients and the calls that need to know."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from grpc_health.v1 import health, health_pb2

from mive.errors import MiveError
from mive.server.errors import NotReady
from mive.server.leases import WorkerStatus
from mive.server.rpc.messages import stored_error
from mive.server.supervisor import Workers
from mive.v1 import mive_pb2

SERVICE: Final = "mive.v1.Mive"
LIVENESS: Final = "liveness"
"""This name serves as long as the process answers, whatever the models do."""

SECONDS: Final = 0.1
RETRY_SECONDS: Final = 5.0


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
        self.statuses: Sequence[WorkerStatus] = ()

    async def start(self) -> None:
        """Answer health checks, before any call can come."""
        await self._servicer.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        await self._tell()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            self.statuses = await asyncio.to_thread(self._workers.statuses)
            await self._tell()
            await asyncio.sleep(SECONDS)

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
        state, cause = self.state, self.cause
        if state == mive_pb2.LOAD_STATE_READY:
            return
        if state == mive_pb2.LOAD_STATE_DRAINING:
            what, fix = "the server is about to end and takes no new jobs", "Try again when it is back"
        elif state == mive_pb2.LOAD_STATE_LOADING:
            what, fix = "the server is loading its model", f"Try again in {RETRY_SECONDS:.0f} seconds"
        else:
            assert cause is not None
            what, fix = f"the server could not load its model: {cause.what}", cause.fix or "Look at the server's log"
        raise NotReady(what, expected="a server that is ready", fix=fix, retry_after=RETRY_SECONDS)

    async def _tell(self) -> None:
        ready = self.state == mive_pb2.LOAD_STATE_READY
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE):
            await self._servicer.set(name, status)
