"""Fetching frames: bit for bit, in any order, on from where a connection broke."""

from __future__ import annotations

import numpy as np
import pytest
from tests.client.fake_server import FakeServer, edited

from mive.client import Client, ServerError
from mive.errors import MiveError, RequestError
from mive.media import open_clip
from mive.media.info import Pixels
from mive.request import EditRequest, FrameRange


@pytest.fixture
def job(client: Client, edit: EditRequest) -> str:
    return client.submit(edit).job_id


@pytest.fixture
def expected(edit: EditRequest) -> list[Pixels]:
    return [edited(frame) for frame in open_clip(edit.clip).read()]


def test_all_frames_come_in_order(client: Client, job: str, expected: list[Pixels]) -> None:
    fetched = list(client.fetch(job))
    assert [index for index, _ in fetched] == list(range(6))
    assert all(np.array_equal(frame, expected[index]) and frame.dtype == np.uint8 for index, frame in fetched)


@pytest.mark.parametrize("into_memory", [False, True], ids=["bytes", "memory"])
def test_ranges_come_in_the_order_asked_for_and_in_another_type(
    client: Client, server: FakeServer, job: str, expected: list[Pixels], into_memory: bool
) -> None:
    asked = [FrameRange(4, 5), FrameRange(0, 0), FrameRange(2, 3)]
    fetched = list(client.fetch(job, asked, pixel_format="float", into_memory=into_memory))
    assert [index for index, _ in fetched] == [4, 5, 0, 2, 3]
    for index, frame in fetched:
        assert np.array_equal(frame, expected[index].astype(np.float32) / np.float32(255))
    assert server.has_no_regions()


def test_a_broken_fetch_goes_on_with_the_first_frame_that_is_missing(
    client: Client, server: FakeServer, job: str, expected: list[Pixels]
) -> None:
    server.be.break_fetch = (2, 2)
    fetched = list(client.fetch(job, [FrameRange(3, 5), FrameRange(0, 1)]))
    assert [index for index, _ in fetched] == [3, 4, 5, 0, 1]
    assert server.fetched == [
        [FrameRange(3, 5), FrameRange(0, 1)],
        [FrameRange(5, 5), FrameRange(0, 1)],
        [FrameRange(1, 1)],
    ]
    assert all(np.array_equal(frame, expected[index]) for index, frame in fetched)


def test_a_broken_fetch_through_memory_takes_new_memory(
    client: Client, server: FakeServer, job: str, expected: list[Pixels]
) -> None:
    server.be.break_fetch = (2, 1)
    fetched = dict(client.fetch(job, into_memory=True))
    assert server.calls["OpenRegion"] == 2
    assert all(np.array_equal(fetched[index], expected[index]) for index in range(6))


def test_frames_that_are_not_there_are_the_servers_refusal(client: Client, job: str) -> None:
    with pytest.raises(ServerError, match="frame 6 is not there"):
        list(client.fetch(job, FrameRange(5, 9)))


def test_a_frame_of_a_wrong_size_is_the_servers_fault_not_the_requests(
    client: Client, server: FakeServer, job: str
) -> None:
    server.be.wrong_size = True
    with pytest.raises(ServerError, match="makes no sense") as error:
        list(client.fetch(job))
    assert not isinstance(error.value, RequestError)


def test_leaving_a_fetch_early_leaves_nothing_open(client: Client, server: FakeServer, job: str) -> None:
    frames = client.fetch(job, into_memory=True)
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert client.get(job).state == "done"
    assert server.has_no_regions()


def test_the_manifest_is_the_servers(client: Client, job: str) -> None:
    assert client.manifest(job).frames == FrameRange(0, 5)


def test_a_manifest_of_a_newer_version_is_told(client: Client, server: FakeServer, job: str) -> None:
    manifest = server.jobs[job].manifest
    server.jobs[job].manifest = manifest.model_copy(update={"manifest": 2})
    with pytest.raises(MiveError, match="makes no sense here: manifest: 2"):
        client.manifest(job)
