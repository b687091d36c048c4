"""What the server makes of stored events for those who watch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mive.server.jobs import Submission
from mive.server.rpc.messages import complete_event
from mive.server.store import JobStore
from mive.v1 import job_pb2


def redact(text: str, *, apart: bool = False) -> str:
    return text.replace("/data/inputs/", "@" if apart else "")


@pytest.mark.parametrize("kind", ["warned", "done"])
def test_warnings_name_no_place_on_the_server(store: JobStore, asked: Callable[..., Submission], kind: str) -> None:
    job, _ = store.submit(asked())
    event = job_pb2.JobEvent()
    getattr(event, kind).warnings.append("/data/inputs/shot.mov is cut off")
    completed = complete_event(event, job, None, redact)
    assert list(getattr(completed, kind).warnings) == ["shot.mov is cut off"]
