"""The worker reads the files that a job brings or names, and none that these name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.playlists import Trap, reference_files, reference_paths
from tests.server.served import Served, modelless

from mive.client import Client
from mive.client.events import Done, Failed
from mive.client.sending import Send
from mive.errors import MediaError, MiveError
from mive.media import ClipInfo, open_writer
from mive.request import EditRequest, FrameRange, Instance

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Trap.works_here(), reason="only Linux tells who opens files"),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    served = modelless(tmp_path / "data", "reading").ready()
    yield served
    served.close()


def a_clip(path: Path) -> Path:
    info = ClipInfo(path, 64, 48, 3, Fraction(24))
    with open_writer(path, info, FrameRange(0, 2)) as writer:
        for _ in range(3):
            writer.write(np.full((48, 64, 3), 1, np.uint8))
    return path


def requests(source: Path, good: Path) -> list[EditRequest]:
    """Edits with a source as the clip, the ID matte, and the matte of one instance."""
    shared, own = Instance(id=1, caption="a cup"), Instance(id=1, caption="a cup", matte=str(source))
    return [
        EditRequest(clip=str(source), mattes=str(good), instances=(shared,)),
        EditRequest(clip=str(good), mattes=str(source), instances=(shared,)),
        EditRequest(clip=str(good), instances=(own,)),
    ]


def error_of(client: Client, request: EditRequest, send: Send) -> MiveError | None:
    try:
        *_, last = client.watch(client.submit(request, send=send).job_id)
    except MiveError as error:
        return error
    assert isinstance(last, Done | Failed)
    return last.error if isinstance(last, Failed) else None


def test_playlists_references_and_addresses_lead_nowhere(server: Served, tmp_path: Path) -> None:
    sends: tuple[Send, ...] = ("path", "upload")
    (tmp_path / "inputs").mkdir()
    good = a_clip(tmp_path / "good.mkv")
    trap = Trap(tmp_path / "inputs" / "secret")
    files = reference_files(tmp_path / "inputs", trap)
    with Client(server.address) as client:
        for send in sends:
            assert error_of(client, requests(good, good)[0], send) is None
        trap.opened()
        for path, send in itertools.product(files, sends):
            for request in requests(path, good):
                error = error_of(client, request, send)
                assert isinstance(error, MediaError), (path, send, error)
                assert error.expected
                assert trap.opened() == [], (path, send)
        for name in reference_paths(trap):
            for request in requests(Path(name), good):
                assert error_of(client, request, "path") is not None
                assert trap.opened() == [], name
    trap.close()
