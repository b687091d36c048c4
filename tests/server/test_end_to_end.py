"""The real program, the real client, real footage: the frames of ``mive edit``, whichever way the pixels travel."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from tests.server.served import Served, real

from mive.base.jobs import Send, Way
from mive.client import Client
from mive.client.events import Done, Preview
from mive.edit import run_edit
from mive.manifest import read_manifest
from mive.media import open_clip
from mive.request import EditRequest, FrameRange, Instance, Settings

pytestmark = pytest.mark.slow

FRAMES = FrameRange(20, 22)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = real(tmp_path_factory.mktemp("server") / "data", "--bundle", "tiny", "--shared-memory").ready()
    yield served
    served.close()


@pytest.fixture(scope="module")
def request_(shared: Callable[[str], Path]) -> EditRequest:
    """Two cups, edited hastily."""
    cups = shared("clips/cups")
    return EditRequest(
        clip=str(cups / "cups.mp4"), mattes=str(cups / "mattes"), frames=FRAMES,
        instances=(Instance(id=1, caption="a green striped cup"), Instance(id=3, caption="a red cup")),
        settings=Settings(steps=2, inversion_steps=2),
    )  # fmt: skip


@pytest.fixture(scope="module")
def edited(request_: EditRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``mive edit`` makes of it."""
    return run_edit(request_, tmp_path_factory.mktemp("edit") / "out.mkv").out


@pytest.mark.parametrize("send", get_args(Way))
def test_a_render_is_bit_for_bit_the_edit(server: Served, request_: EditRequest, edited: Path, send: Send) -> None:
    # Or the first job's frames would be handed out again.
    shutil.rmtree(server.data / "results", ignore_errors=True)
    expected = list(open_clip(str(edited)).read())
    with Client(server.address) as client:
        job = client.submit(request_, send=send, preview_every=2)
        events = list(client.watch(job.job_id))
        frames = dict(client.fetch(job.job_id, into_memory=send == "memory"))
        manifest = client.manifest(job.job_id)
    assert isinstance(events[-1], Done)
    assert not events[-1].cached
    assert {event.instance for event in events if isinstance(event, Preview)} == {1, 3}
    assert list(frames) == list(FRAMES.indices())
    assert all(np.array_equal(frames[index], frame) for index, frame in zip(FRAMES.indices(), expected, strict=True))
    assert manifest.frames_hash == read_manifest(edited.with_name("out.mkv.manifest.json")).frames_hash
    assert str(server.data) not in manifest.to_json()
