"""Following a job whose end comes at an awkward moment."""

from __future__ import annotations

import asyncio

import pytest
from tests.server.conftest import Submit
from tests.server.fakes import ANNA

from mive.server.rpc.pulse import Pulse
from mive.server.rpc.watching import Watching
from mive.server.store import JobStore
from mive.v1 import job_pb2


def watched(store: JobStore, job: str, after: int = 0) -> list[str]:
    async def follow() -> list[str]:
        pulse = Pulse(store.database)
        beating = asyncio.create_task(pulse.run())
        watching = Watching(store, pulse, str)
        told = [str(event.WhichOneof("event")) async for event in watching.follow(ANNA, job, after)]
        beating.cancel()
        return told

    return asyncio.run(asyncio.wait_for(follow(), 10))


def test_an_end_between_two_looks_is_told(store: JobStore, asked: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job ends right after its events were read, and before it is seen to have ended."""
    job, _ = store.submit(asked())
    store.leases.claim("worker", 10)
    read = store.events

    def end_after(*arguments: object) -> list[job_pb2.JobEvent]:
        events = read(*arguments)  # type: ignore[arg-type]
        if store.get(ANNA, job.id).state == "running":
            store.leases.cancelled(job.id, "worker", "just now")
        return events

    monkeypatch.setattr(store, "events", end_after)
    assert watched(store, job.id, after=job.last_event) == ["cancelled"]


@pytest.mark.parametrize("after", [2, 2**63 - 1, 2**64 - 1])
def test_an_ended_job_has_nothing_after_its_last_event(store: JobStore, asked: Submit, after: int) -> None:
    job, _ = store.submit(asked())
    store.cancel(ANNA, job.id)
    assert watched(store, job.id, after) == []
