"""Clocks that jump by an hour or a month take no job away, and lose no file."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.server.fakes import ANNA, FakeClock, clocks_of
from tests.server.place import Place, some_clip

from mive.server.clocks import CLOCKS
from mive.server.house import House
from mive.server.jobs import Submission
from mive.server.leases import LeaseLost
from mive.server.store import JobStore
from mive.v1 import job_pb2

Asked = Callable[..., Submission]
HOUR, MONTH = 3600.0, 31 * 86400.0
JUMPS = (HOUR, -HOUR, MONTH, -MONTH)


@pytest.fixture
def wall() -> FakeClock:
    return FakeClock(1_700_000_000.0)


@pytest.fixture
def steady() -> FakeClock:
    return FakeClock(1000.0)


def opened(path: Path, steady: FakeClock, wall: FakeClock, boot: str = "this boot") -> JobStore:
    return JobStore(path / "jobs.sqlite", clocks=clocks_of(steady, wall, boot))


@pytest.mark.parametrize("jump", JUMPS)
def test_a_running_job_stays_with_its_worker(
    tmp_path: Path, asked: Asked, wall: FakeClock, steady: FakeClock, jump: float
) -> None:
    store = opened(tmp_path, steady, wall)
    job, _ = store.submit(asked())
    store.leases.claim("one", 15)
    wall.seconds += jump
    steady.seconds += 14
    assert store.leases.claim("two", 15) is None
    store.leases.renew(job.id, "one", 15)
    wall.seconds -= jump
    steady.seconds += 14
    assert store.leases.claim("two", 15) is None
    steady.seconds += 2
    taken = store.leases.claim("two", 15)
    assert taken is not None, "a lease that was not renewed ends by the machine's own time"
    with pytest.raises(LeaseLost):
        store.leases.renew(job.id, "one", 15)
    store.close()


@pytest.mark.parametrize("jump", JUMPS)
def test_a_job_waits_for_as_long_as_it_may(
    tmp_path: Path, asked: Asked, wall: FakeClock, steady: FakeClock, jump: float
) -> None:
    store = opened(tmp_path, steady, wall)
    job, _ = store.submit(asked(patience=60.0))
    wall.seconds += jump
    steady.seconds += 59
    store.leases.sweep()
    assert store.get(ANNA, job.id).state == "queued"
    steady.seconds += 2
    store.leases.sweep()
    assert store.get(ANNA, job.id).state == "failed"
    store.close()


def test_a_lease_ends_with_the_boot_that_it_was_made_in(
    tmp_path: Path, asked: Asked, wall: FakeClock, steady: FakeClock
) -> None:
    """After a power cut the steady clock starts anew, below what the lease says."""
    store = opened(tmp_path, steady, wall)
    job, _ = store.submit(asked())
    late, _ = store.submit(asked(patience=60.0))
    store.leases.claim("one", 15)
    store.close()
    again = opened(tmp_path, FakeClock(3.0), FakeClock(wall() + 61), "another boot")
    claimed = again.leases.claim("two", 15)
    assert claimed is not None
    assert claimed.id == job.id
    assert again.get(ANNA, late.id).state == "failed", "here only the wall clock knows"
    again.close()


@pytest.mark.parametrize("jump", JUMPS)
def test_nothing_is_forgotten_before_its_time(
    tmp_path: Path, asked: Asked, wall: FakeClock, steady: FakeClock, jump: float
) -> None:
    """Neither when the clock jumps while the server runs, nor while it is off."""
    store, days = opened(tmp_path, steady, wall), 30 * 86400.0
    job, _ = store.submit(asked())
    store.cancel(ANNA, job.id)
    house = House(store.database)
    assert store.forget(house.advance(), days) == []
    wall.seconds += jump
    assert store.forget(house.advance(), days) == []
    store.close()
    wall.seconds += jump
    store = opened(tmp_path, steady, wall)
    house = House(store.database)
    assert store.forget(house.advance(), days) == []
    steady.seconds += 30 * 86400 + 1
    assert store.forget(house.advance(), days) == [job.id]
    store.close()


@pytest.mark.parametrize("jump", JUMPS)
def test_no_upload_and_no_input_is_swept_before_its_time(
    tmp_path: Path, wall: FakeClock, steady: FakeClock, jump: float
) -> None:
    store = opened(tmp_path, steady, wall)
    house = House(store.database)
    place = Place(tmp_path.resolve() / "data", FakeClock())
    place.uploads.clock = place.inputs._clock = house.now
    upload = place.upload(b"bytes")
    clip = place.name(some_clip(place))
    wall.seconds += jump
    assert (place.uploads.sweep(), place.inputs.sweep([], 60)) == (0, 0)
    store.close()
    store = opened(tmp_path, FakeClock(3.0), wall, "another boot")
    place.uploads.clock = place.inputs._clock = House(store.database).now
    assert (place.uploads.sweep(), place.inputs.sweep([], 60)) == (0, 0)
    assert place.uploads.status("a1" * 32, upload).complete
    assert clip.exists()
    store.close()


def test_endings_are_counted_whatever_the_clock_says(
    tmp_path: Path, asked: Asked, wall: FakeClock, steady: FakeClock
) -> None:
    store = opened(tmp_path, steady, wall)
    jobs = [store.submit(asked())[0].id for _ in range(4)]
    for job, jump in zip(jobs, JUMPS, strict=True):
        store.leases.claim("w", 15)
        wall.seconds += jump
        store.leases.done(job, "w", "{}", job_pb2.Done())
    rows = store.database.read("SELECT id FROM jobs ORDER BY ending")
    assert [row[0] for row in rows] == jobs
    store.close()


def test_the_machines_own_clock_only_goes_forwards() -> None:
    first = CLOCKS.steady()
    time.sleep(0.01)
    assert CLOCKS.steady() > first
    assert CLOCKS.boot() == CLOCKS.boot() != ""


@pytest.mark.parametrize("seed", range(12))
def test_whatever_clocks_do_every_job_has_one_worker_and_ends(
    tmp_path: Path, asked: Asked, wall: FakeClock, steady: FakeClock, seed: int
) -> None:
    """Random jumps, restarts, reboots and lost workers: whoever holds a lease that has not run out keeps the job."""
    rng, boot, held = random.Random(seed), "0", dict[str, tuple[str, float, str]]()
    store, jobs, ended = opened(tmp_path, steady, wall, boot), list[str](), set[str]()

    def claim() -> None:
        job = store.leases.claim(worker := f"w{rng.random()}", 15)
        if job is not None:
            _, until, of = held.get(job.id, ("", 0.0, boot))
            assert of != boot or until <= steady(), "it was somebody else's"
            held[job.id] = worker, steady() + 15, boot
            if rng.random() < 0.9:
                store.leases.checkpointed(job.id, worker)

    def finish() -> None:
        for job, (worker, _, of) in list(held.items())[:1]:
            if of == boot and rng.random() < 0.5:
                store.leases.renew(job, worker, 15)
                held[job] = worker, steady() + 15, boot
            else:
                with contextlib.suppress(LeaseLost):
                    store.leases.done(job, worker, "{}", job_pb2.Done())
                    ended.add(job)
                del held[job]

    def restart() -> None:
        nonlocal store, boot
        store.close()
        if rng.random() < 0.5:
            boot, steady.seconds = str(int(boot) + 1), rng.uniform(0, 100)
        store = opened(tmp_path, steady, wall, boot)

    for _ in range(120):
        match rng.randrange(6):
            case 0 if len(jobs) < 40:
                jobs.append(store.submit(asked())[0].id)
            case 1:
                wall.seconds += rng.choice(JUMPS)
            case 2:
                steady.seconds += rng.uniform(0, 10)
            case 3:
                finish()
            case 4 if rng.random() < 0.2:
                restart()
            case _:
                claim()
        house = House(store.database)
        assert store.forget(house.now(), 30 * 86400) == []
    for _ in range(200):
        steady.seconds += 16
        job = store.leases.claim("last", 15)
        if job is not None:
            store.leases.done(job.id, "last", "{}", job_pb2.Done())
    assert {store.get(ANNA, job).state for job in jobs} <= {"done"}
    store.close()
