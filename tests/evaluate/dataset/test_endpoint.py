"""Asking a model over HTTP: the protocol, and servers that are slow, busy, broken or not there."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import pytest
from tests.evaluate.dataset.conftest import ModelServer, Reply, completion

from mive.errors import EngineError, RequestError
from mive.evaluate.dataset.chat import Message
from mive.evaluate.dataset.endpoint import TRIES, Endpoint
from mive.evaluate.dataset.models import open_asker

HELLO = [Message("user", "Describe nothing")]


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def endpoint(server: ModelServer, pauses: list[float]) -> Endpoint:
    return Endpoint(server.url + "/", "llava", "secret", "MIVE_VLM_KEY", timeout=0.5, pause=pauses.append)


def test_the_request_is_a_chat_completion(server: ModelServer, endpoint: Endpoint) -> None:
    assert endpoint.answer(HELLO) == "A picture of ."
    [body] = server.requests
    assert body["model"] == "llava"
    assert body["messages"] == [{"role": "user", "content": "Describe nothing"}]
    assert server.headers["Authorization"] == "Bearer secret"


def test_no_key_no_header(server: ModelServer) -> None:
    Endpoint(server.url, "llava", "", "MIVE_VLM_KEY").answer(HELLO)
    assert "Authorization" not in server.headers


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(500, b"oops"),
        Reply(503, b'{"error": {"message": "loading"}}'),
        Reply(200, b"<html>a proxy's page</html>"),
        Reply(200, b'{"choices": []}'),
        Reply(200, b"[]"),
        Reply(200, b"{", headers={"Content-Length": "900", "Connection": "close"}),
        Reply(200, completion("late"), seconds=1.0),
    ],
    ids=["500", "503", "html", "no choices", "a list", "cut off", "slow"],
)
def test_what_passes_is_tried_again(
    server: ModelServer, endpoint: Endpoint, pauses: list[float], trouble: Reply
) -> None:
    server.first = [trouble]
    assert endpoint.answer(HELLO) == "A picture of ."
    assert pauses == [1.0]


def test_pauses_grow_and_end(server: ModelServer, endpoint: Endpoint, pauses: list[float]) -> None:
    server.first = [Reply(500, b'{"error": "no memory"}')] * TRIES
    with pytest.raises(EngineError, match=rf"asked {TRIES} times: HTTP 500: no memory.*answers that came are kept"):
        endpoint.answer(HELLO)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_a_busy_server_says_when(server: ModelServer, endpoint: Endpoint, pauses: list[float]) -> None:
    later = formatdate(time.time() + 60, usegmt=True)
    server.first = [Reply(429, b"", {"Retry-After": value}) for value in ("7", later, "soon", "-3")]
    assert endpoint.answer(HELLO) == "A picture of ."
    assert (pauses[0], *pauses[2:]) == (7.0, 4.0, 8.0)
    assert 30 < pauses[1] <= 60


def test_a_server_that_is_busy_for_hours_is_not_waited_for(
    server: ModelServer, endpoint: Endpoint, pauses: list[float]
) -> None:
    server.first = [Reply(429, b"quota", {"Retry-After": "7200"})]
    with pytest.raises(EngineError, match="HTTP 429: quota"):
        endpoint.answer(HELLO)
    assert pauses == []


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(401, b'{"error": {"message": "bad key"}}'), "bad key.*MIVE_VLM_KEY"),
        (Reply(404, b"no such model"), "no such model.*after the #"),
        (Reply(400, b"\xff\xfe"), "HTTP 400"),
        (Reply(302, b"", {"Location": "http://127.0.0.1:9/elsewhere"}), "HTTP 302"),
    ],
)
def test_refusals_are_told_at_once(
    server: ModelServer, endpoint: Endpoint, pauses: list[float], reply: Reply, words: str
) -> None:
    server.first = [reply]
    with pytest.raises(RequestError, match=words) as raised:
        endpoint.answer(HELLO)
    assert pauses == []
    assert "secret" not in raised.value.message()


def test_nobody_there(pauses: list[float]) -> None:
    with pytest.raises(EngineError, match=r"did not answer.*refused"):
        Endpoint("http://127.0.0.1:9/v1", "m", "", "K", pause=pauses.append).answer(HELLO)
    assert len(pauses) == TRIES - 1


def test_answers_in_parts_and_without_words(server: ModelServer, endpoint: Endpoint) -> None:
    parts = b'{"choices": [{"message": {"content": [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]}}]}'
    server.first = [Reply(200, parts), Reply(200, completion(None))]
    assert endpoint.answer(HELLO) == "a b"
    assert endpoint.answer(HELLO) == ""


@pytest.mark.parametrize("spec", ["http://localhost:8000/v1", "https://#m", "http://me:key@host/v1#m"])
def test_addresses_that_are_not_complete(spec: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="MIVE_LLM_KEY") as raised:
        open_asker("llm", spec, tmp_path)
    assert "me:key" not in raised.value.message()


def test_keys_come_from_the_environment(server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIVE_LLM_KEY", "from outside")
    open_asker("llm", f"{server.url}#org/model", tmp_path).ask(HELLO[0], str)
    assert server.headers["Authorization"] == "Bearer from outside"
    assert server.requests[0]["model"] == "org/model"
    assert "from outside" not in "".join(path.read_text() for path in tmp_path.rglob("*.json"))
