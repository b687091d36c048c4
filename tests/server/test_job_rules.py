"""What a job may ask for, before anything is done about it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from tests.server.fakes import a_request

from mive.errors import RequestError
from mive.server.roots import Roots
from mive.server.rpc.jobs import JobRules
from mive.v1 import edit_pb2

RULES = JobRules("tiny", Roots([Path("/")]), most_instances=2, most_frames=10)


@pytest.mark.parametrize("field", ["clip", "mattes"])
def test_who_opens_a_pipe_or_a_device_waits_for_ever(tmp_path: Path, field: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
        for place in (tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero"), Path("/dev/tty")):
            with pytest.raises(RequestError, match="no file or folder"):
                RULES.check_paths(a_request().model_copy(update={field: str(place)}))
    for place in (tmp_path, tmp_path / "not there", Path(__file__)):
        RULES.check_paths(a_request().model_copy(update={field: str(place)}))


@pytest.mark.parametrize(
    "message",
    [
        edit_pb2.EditRequest(instances=[edit_pb2.Instance()] * 3),
        edit_pb2.EditRequest(clip={"files": {"files": [{}] * 100_001}}),
        edit_pb2.EditRequest(instances=[{"matte": {"runs": {"frames": [{}] * 60_000}}}] * 2),
    ],
    ids=["instances", "files", "frames of runs"],
)
def test_too_many_things_are_refused_before_each_is_looked_at(message: edit_pb2.EditRequest) -> None:
    with pytest.raises(RequestError, match="at most"):
        RULES.check_size(message)
