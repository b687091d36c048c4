"""One line per event, whatever the values hold; nothing of a client's job unless the operator debugs."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.calls import call, run, serving
from tests.server.fakes import FakeRenderer

from mive.errors import EngineError, OutOfMemory, OutputError
from mive.request import EditRequest, Instance
from mive.server.auth import AuthInterceptor
from mive.server.jobs import Submission
from mive.server.logs import Lines, LogOptions, about, bind, set_up_logging
from mive.server.options import WorkerOptions
from mive.server.store import JobStore
from mive.server.task import Task
from mive.server.tokens import Tokens, new_token
from mive.server.worker import Worker

SECRETS = ("a green cube", "/mnt/shots/secret.mov", "/mnt/mattes")
log = logging.getLogger("mive.test")


@pytest.fixture
def logged() -> Iterator[Callable[..., list[str]]]:
    """``logged("json", "info")`` starts; ``logged()`` is every line since."""
    root, ours = logging.getLogger(), logging.getLogger("mive")
    before = (root.handlers[:], root.level, ours.level, sys.excepthook, threading.excepthook)
    stream = io.StringIO()

    def use(format: Any = None, level: Any = "info", worker: str = "") -> list[str]:
        if format is not None:
            set_up_logging(LogOptions(format=format, level=level), worker=worker, stream=stream)
        return stream.getvalue().splitlines()

    yield use
    logging.captureWarnings(False)
    root.handlers[:], sys.excepthook, threading.excepthook = before[0], before[3], before[4]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def test_text_is_for_people(logged: Callable[..., list[str]]) -> None:
    logged("text", worker="gpu0-1a")
    with about(job="7f", owner="0123456789abcdef"):
        log.warning("job %s: %d steps are left", "7f", 3)
    (line,) = logged()
    time, rest = line.split(" ", 1)
    assert time.endswith("Z")
    assert datetime.fromisoformat(time).tzinfo is not None
    assert rest == "WARNING job 7f: 3 steps are left worker=gpu0-1a job=7f owner=01234567"


def test_json_is_for_machines(logged: Callable[..., list[str]]) -> None:
    logged("json")
    with about(owner="0123456789abcdef"):
        with about(job="7f"):
            log.info("start")
        log.info("next")
    log.info("last")
    events = [json.loads(line) for line in logged()]
    assert [{name: event[name] for name in event if name != "ts"} for event in events] == [
        {"level": "info", "event": "start", "owner": "01234567", "job": "7f"},
        {"level": "info", "event": "next", "owner": "01234567"},
        {"level": "info", "event": "last"},
    ]


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize(
    "value", ["a\nINFO forged", "a\r\x0b\x0c\x1c\x85\u2028\u2029b", "\x1b[2Jcleared\x7f", "\udcff", "\x00"]
)
def test_no_value_makes_a_second_line_or_moves_a_terminal(
    logged: Callable[..., list[str]], format: str, value: str
) -> None:
    logged(format)
    with about(job=value):
        log.info("it is %s", value)
    (line,) = logged()
    assert line.isprintable()
    if format == "json":
        assert json.loads(line)["job"] == value


@given(st.text(st.characters()), st.booleans())
def test_any_text_is_one_printable_line(text: str, as_json: bool) -> None:
    record = logging.LogRecord("mive", logging.INFO, "", 0, "%s", (text,), None)
    line = Lines(as_json=as_json, debug=False, worker="").format(record)
    assert line.isprintable()
    if as_json:
        assert json.loads(line)["event"] == text


def test_levels(logged: Callable[..., list[str]]) -> None:
    for level, count in (("debug", 4), ("info", 3), ("warning", 2), ("error", 1)):
        before = len(logged("text", level))
        for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            log.log(number, "said")
        assert len(logged()) - before == count


def failing(task: Task, number: int) -> None:
    """What can go wrong, and quotes the job."""
    request = task.request
    if number == 1:
        logging.getLogger("diffusers").warning("truncated: %s", request.instances[0].caption)
        warnings.warn(f"{request.clip} has odd tags", stacklevel=1)
        kind = request.instances[1].caption
        if kind in KINDS:
            raise KINDS[kind](f"{request.instances[0].caption} in {request.clip} with {request.mattes}")


KINDS: dict[str, type[Exception]] = {
    "unexpected": ValueError,
    "engine": EngineError,
    "memory": OutOfMemory,
    "disk": OutputError,
}


def edit(store: JobStore, folder: Path, kind: str) -> str:
    """A job goes through a worker; its id."""
    request = EditRequest(
        clip=SECRETS[1], mattes=SECRETS[2],
        instances=(Instance(id=1, caption=SECRETS[0]), Instance(id=2, caption=kind)),
    )  # fmt: skip
    job, _ = store.submit(Submission(owner="0123456789abcdef", request=request))
    assert Worker(store, WorkerOptions(data=folder, name="w"), FakeRenderer(step=failing)).step()
    return job.id


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("kind", ["fine", *KINDS])
def test_no_caption_and_no_path_of_a_job_shows(
    logged: Callable[..., list[str]], store: JobStore, tmp_path: Path, format: str, kind: str
) -> None:
    logged(format)
    job = edit(store, tmp_path, kind)
    lines = logged()
    assert any(job in line for line in lines), "what happened can be followed by the job's id"
    assert any("diffusers" in line for line in lines), "that somebody else said something is told"
    assert not [word for word in SECRETS if word in "\n".join(lines)]
    if kind == "unexpected":
        assert any("ValueError" in line and "test_logs.py:" in line for line in lines), "where it happened is told"


def test_debugging_shows_everything_still_one_line_per_event(
    logged: Callable[..., list[str]], store: JobStore, tmp_path: Path
) -> None:
    logged("json", "debug")
    edit(store, tmp_path, "unexpected")
    events = [json.loads(line) for line in logged()]
    (failure,) = [event for event in events if "ValueError" in event.get("error", "")]
    assert "Traceback" in failure["error"]
    assert f"{SECRETS[0]} in {SECRETS[1]}" in failure["error"]


def test_a_handlers_unexpected_error_tells_its_owner_and_not_its_text(
    logged: Callable[..., list[str]], tmp_path: Path
) -> None:
    token = new_token(tmp_path / "tokens", "anna")
    tokens = Tokens.load(tmp_path / "tokens")
    owner = tokens.owner(f"Bearer {token}")

    def say() -> str:
        log.info("asked")
        raise ValueError(SECRETS[0])

    async def test() -> None:
        async with serving(say, [AuthInterceptor(tokens)]) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await call(channel, "One", metadata=(("authorization", f"Bearer {token}"),))

    logged("text")
    run(test())
    asked, failed = logged()
    assert f"owner={owner.id[:8]}" in asked
    assert owner.id not in asked
    assert "ValueError" in failed
    assert SECRETS[0] not in asked + failed


def test_what_nobody_caught_is_one_line_too(logged: Callable[..., list[str]]) -> None:
    logged("json")

    def fail() -> None:
        bind(job="7f")
        raise RuntimeError(SECRETS[0])

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    (event,) = map(json.loads, logged())
    assert (event["level"], event["event"], event["error"]) == ("critical", "unexpected error", "RuntimeError")
    assert SECRETS[0] not in str(event)


def test_a_process_that_dies_of_an_error_says_so_in_one_line() -> None:
    program = """
from mive.server.logs import LogOptions, set_up_logging
set_up_logging(LogOptions(format="json"), worker="w")
raise ValueError("a\\nb")
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "backend")}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    (line,) = ended.stderr.splitlines()
    event = json.loads(line)
    assert (ended.returncode, event["worker"], event["error"], event["at"]) == (1, "w", "ValueError", "<string>:4")
