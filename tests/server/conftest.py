"""A store with a clock that tests move, and jobs to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.server.fakes import ANNA, FakeClock, a_request, clocks_of
from tests.server.place import Place
from tests.server.served import Serve, Served, modelless

from mive.media import ClipInfo, open_writer
from mive.request import EditRequest, FrameRange, Instance, Settings
from mive.server.jobs import Submission
from mive.server.store import JobStore

Submit = Callable[..., Submission]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[JobStore]:
    store = JobStore(tmp_path / "jobs.sqlite", queue_limit=8, clocks=clocks_of(clock))
    yield store
    store.close()


@pytest.fixture
def place(tmp_path: Path, clock: FakeClock) -> Iterator[Place]:
    place = Place(tmp_path.resolve() / "data", clock)
    yield place
    place.regions.close_all()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """``serve(drain_seconds=1)``: a server without a model, with these changes to its configuration."""
    started: list[Served] = []

    def start(name: str = "data", **overrides: object) -> Served:
        started.append(modelless(tmp_path / name, **overrides))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def asked() -> Submit:
    """``asked(priority="interactive")``: Anna's job, with these changes."""

    def make(caption: str = "a green cube", **changes: object) -> Submission:
        return Submission(**{"owner": ANNA, "request": a_request(caption), **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Here, so that tests without a model need not wait for torch.
    from tests.networks import sd15

    return sd15.save_sd15(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def edit(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> EditRequest:
    """Two squares on five frames of 64 × 48, edited in two windows of three."""
    folder = tmp_path_factory.mktemp("shot")
    rng = np.random.default_rng(0)
    info = ClipInfo(path=folder / "clip.mkv", width=64, height=48, frames=5, rate=Fraction(24))
    whole = FrameRange(0, 4)
    with open_writer(folder / "clip.mkv", info, whole) as clip, open_writer(folder / "mattes", info, whole) as mattes:
        for t in range(5):
            ids = np.zeros((48, 64), np.uint8)
            ids[6:26, 4 + 2 * t : 24 + 2 * t], ids[28:44, 40:60] = 1, 2
            clip.write(rng.integers(60, 180, (48, 64, 3), dtype=np.uint8))
            mattes.write(np.repeat(ids[..., None], 3, 2))
    settings = Settings(
        preset="draft", steps=2, inversion_steps=4, model_size=64, guidance=2.0, window=3, overlap=1, precision="fp32"
    )
    return EditRequest(
        clip=str(folder / "clip.mkv"), mattes=str(folder / "mattes"), bundle=str(bundle), settings=settings,
        instances=(Instance(id=1, caption="a green cube"), Instance(id=2, caption="a yellow ball")),
    )  # fmt: skip
