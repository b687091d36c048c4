"""Following a job whose end comes at an awkward moment."""

from __future__ import annotations

import asyncio

import pytest
from tests.server.conftest import Submit
from tests.server.fakes import ANNA

from mive.base.progress import Progress
from mive.server.rpc.board import Board
from mive.server.rpc.pulse import Pulse
from mive.server.rpc.watching import Watching
from mive.server.store import JobStore
from mive.v1 import job_pb2
from mive.wire.progress import progress_to_event


def unredacted(text: str, *, apart: bool = False) -> str:
    return text


def watched(store: JobStore, job: str, after: int = 0) -> list[str]:
    async def follow() -> list[str]:
        pulse = Pulse(store.database)
        board = Board(store, pulse)
        beating = [asyncio.create_task(each.run()) for each in (pulse, board)]
        watching = Watching(store, board, unredacted)
        told = [str(event.WhichOneof("event")) async for event in watching.follow(ANNA, job, after)]
        for task in beating:
            task.cancel()
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


def test_a_change_of_one_job_wakes_its_own_watchers_alone(store: JobStore, asked: Submit) -> None:
    """200 watch jobs that wait while another one gets ahead: the store is not asked for them."""
    running, _ = store.submit(asked(priority="interactive"))
    store.leases.claim("worker", 10)
    waiting = [store.submit(asked())[0].id for _ in range(4)]
    looks: list[str] = []
    read = store.events
    store.events = lambda *arguments: (looks.append(arguments[1]), read(*arguments))[1]  # type: ignore[method-assign, assignment]

    async def follow() -> list[int]:
        pulse = Pulse(store.database)
        board = Board(store, pulse)
        tasks = [asyncio.create_task(each.run()) for each in (pulse, board)]
        watching, told = Watching(store, board, unredacted), [0] * 200

        async def watch(number: int) -> None:
            async for _ in watching.follow(ANNA, waiting[number % 4]):
                told[number] += 1

        tasks += [asyncio.create_task(watch(number)) for number in range(200)]
        while sum(told) < 200:
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.5)
        looks.clear()
        for step in range(20):
            progress = progress_to_event(Progress("sampling", step, 20))
            await asyncio.to_thread(store.leases.event, running.id, "worker", progress, "sampling")
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return told

    assert asyncio.run(asyncio.wait_for(follow(), 30)) == [1] * 200
    assert len(looks) <= 250, "each of them at most once, by itself"


def test_many_watchers_of_one_job_look_together(store: JobStore, asked: Submit) -> None:
    job, _ = store.submit(asked())
    store.leases.claim("worker", 10)
    looks: list[int] = []
    read = store.events
    store.events = lambda *arguments: (looks.append(1), read(*arguments))[1]  # type: ignore[method-assign, assignment]

    async def follow() -> list[list[str]]:
        pulse = Pulse(store.database)
        board = Board(store, pulse)
        tasks = [asyncio.create_task(each.run()) for each in (pulse, board)]
        watching = Watching(store, board, unredacted)

        async def watch() -> list[str]:
            return [str(event.WhichOneof("event")) async for event in watching.follow(ANNA, job.id)]

        watchers = [asyncio.create_task(watch()) for _ in range(100)]
        await asyncio.sleep(1)
        looks.clear()
        for step in range(10):
            progress = progress_to_event(Progress("sampling", step, 20))
            await asyncio.to_thread(store.leases.event, job.id, "worker", progress, "sampling")
            await asyncio.sleep(0.1)
        await asyncio.to_thread(store.leases.done, job.id, "worker", "{}", job_pb2.Done())
        told = await asyncio.gather(*watchers)
        for task in tasks:
            task.cancel()
        return told

    told = asyncio.run(asyncio.wait_for(follow(), 30))
    assert {(each[0], each[-1]) for each in told} == {("queued", "done")}
    assert all(set(each[1:-1]) == {"step"} for each in told)
    assert len(looks) < 300, "not a thousand"
