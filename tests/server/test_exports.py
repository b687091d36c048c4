"""Frames of a job as files that the server makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.server.served import Served, modelless, refusal, until

from mive.client import Client
from mive.media import open_clip
from mive.request import FrameRange
from mive.server.exports import checked_name
from mive.v1 import job_pb2, mive_pb2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = modelless(tmp_path_factory.mktemp("exports") / "data").ready()
    yield served
    served.close()


@pytest.fixture(scope="module")
def job(server: Served) -> str:
    job = server.submit(caption="quick, 5 frames of 64 x 48 u8").job_id
    server.finish(job)
    return job


def left(server: Served) -> list[Path]:
    return list((server.data / "exports").iterdir())


@pytest.mark.parametrize(("name", "files"), [("cut.####.png", 5), ("cut.####.exr", 5), ("cut.mkv", 1), ("cut.mov", 1)])
def test_a_job_becomes_files(server: Served, job: str, tmp_path: Path, name: str, files: int) -> None:
    with Client(server.address) as client:
        made = client.export(job, name, tmp_path / "out")
    assert len(made) == files
    assert sorted(made) == sorted((tmp_path / "out").iterdir())
    frames = list(open_clip(made[0] if files == 1 else tmp_path / "out" / name).read())
    assert len(frames) == 5
    for index, frame in enumerate(frames):
        whole = frame / 255 if frame.dtype == np.uint8 else frame / (65535 if frame.dtype == np.uint16 else 1)
        assert np.allclose(whole, index / 255, atol=0.02 if name.endswith("mov") else 1e-6)
    until(lambda: left(server) == [], 10)


def test_a_part_keeps_its_numbers(server: Served, job: str, tmp_path: Path) -> None:
    with Client(server.address) as client:
        made = client.export(job, "cut.####.png", tmp_path, FrameRange(2, 3))
    assert [path.name for path in made] == ["cut.0002.png", "cut.0003.png"]


@pytest.mark.parametrize(
    "name",
    ["", "cut", "cut.txt", "../cut.mov", "a/b.mov", ".mov", "cut.png", "cut.#.#.png", "-o.mov", "x" * 200 + ".mov"],
)
def test_a_name_that_says_nothing_is_refused(server: Served, job: str, name: str) -> None:
    request = mive_pb2.ExportFramesRequest(job_id=job, name=name)
    code, sentence, _ = refusal(lambda: server.stub.ExportFrames(request))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert sentence.startswith("name: ")
    assert left(server) == []


def test_names_that_say_what_files_are_to_be_pass() -> None:
    for name in ("edited.mov", "edited.hevc.mp4", "shot 010.####.exr", "a.#.png"):
        assert checked_name(name) == name


def test_frames_that_do_not_exist_are_refused(server: Served, job: str) -> None:
    beyond = mive_pb2.ExportFramesRequest(job_id=job, name="cut.mov", frames={"first": 3, "last": 9})
    assert refusal(lambda: server.stub.ExportFrames(beyond))[0] == grpc.StatusCode.INVALID_ARGUMENT
    running = server.submit(caption="a slow cube").job_id
    until(lambda: server.get(running).state == job_pb2.JOB_STATE_RUNNING and server.get(running).HasField("frames"))
    early = mive_pb2.ExportFramesRequest(job_id=running, name="cut.mov")
    assert refusal(lambda: server.stub.ExportFrames(early))[0] == grpc.StatusCode.FAILED_PRECONDITION
    server.stub.CancelJob(mive_pb2.CancelJobRequest(job_id=running))
    server.finish(running)


def test_a_client_that_goes_leaves_nothing(server: Served, job: str) -> None:
    call = server.stub.ExportFrames(mive_pb2.ExportFramesRequest(job_id=job, name="cut.####.exr"))
    next(call)
    call.cancel()
    until(lambda: left(server) == [], 10)
