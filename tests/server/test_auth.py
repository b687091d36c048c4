"""Tokens: made, kept as hashes, revoked; and what calls without one are told."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st
from tests.server.calls import KINDS, call, failure, run, serving

from mive.errors import OutputError, RequestError
from mive.server.auth import LOCAL, AuthInterceptor, current_owner
from mive.server.tokens import Tokens, Unauthenticated, new_token
from mive.wire.errors import error_from_status, read_status


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def test_a_token_is_known_by_its_hash_alone(file: Path) -> None:
    anna, ben = new_token(file, "anna"), new_token(file, "ben")
    assert len(anna) > 40
    assert anna != ben
    text = file.read_text()
    assert anna not in text
    assert f"anna:{hashlib.sha256(anna.encode()).hexdigest()}\n" in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    tokens = Tokens.load(file)
    owner = tokens.owner(f"Bearer {anna}")
    assert owner.name == "anna"
    assert owner.id not in text, "a copy of the job store does not tell the hashes"
    assert tokens.owner(f"bearer  {anna} ") == owner == Tokens.load(file).owner(f"Bearer {anna}")
    assert tokens.owner(f"Bearer {ben}").id != owner.id


@pytest.mark.parametrize(
    "value", [None, "", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer {}x", "Bearer x{}", "Bearer {} {}"]
)
def test_anything_else_is_refused(file: Path, value: str | None) -> None:
    token = new_token(file, "anna")
    with pytest.raises(Unauthenticated):
        Tokens.load(file).owner(value and value.format(token, token))


@given(st.text())
def test_no_text_is_a_token_or_an_accident(text: str) -> None:
    tokens = Tokens(Path("none"))
    for value in (text, f"Bearer {text}"):
        with pytest.raises(Unauthenticated):
            tokens.owner(value)


def test_a_hash_is_no_token(file: Path) -> None:
    digest = hashlib.sha256(new_token(file, "anna").encode()).hexdigest()
    with pytest.raises(Unauthenticated):
        Tokens.load(file).owner(f"Bearer {digest}")


def test_a_removed_line_revokes_its_token_at_once(file: Path) -> None:
    anna, ben = new_token(file, "anna"), new_token(file, "ben")
    tokens = Tokens.load(file)
    assert tokens.owner(f"Bearer {anna}").name == "anna"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith("anna:")))
    assert tokens.owner(f"Bearer {ben}").name == "ben"
    with pytest.raises(Unauthenticated):
        tokens.owner(f"Bearer {anna}")
    carol = new_token(file, "carol")
    assert tokens.owner(f"Bearer {carol}").name == "carol"


def test_a_file_that_goes_wrong_lets_nobody_in_until_it_is_right(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = new_token(file, "anna")
    tokens, text = Tokens.load(file), file.read_text()
    for spoil in (lambda: file.unlink(), lambda: file.write_text(f"{text}ben:{token}\n"), lambda: file.chmod(0o644)):
        spoil()
        for _ in range(3):
            with pytest.raises(Unauthenticated):
                tokens.owner(f"Bearer {token}")
        assert len(caplog.records) == 1, "it is told once, not with every call"
        assert "nobody is let in" in caplog.text
        assert token not in caplog.text
        file.write_text(text)
        file.chmod(0o600)
        assert tokens.owner(f"Bearer {token}").name == "anna"
        caplog.clear()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660, 0o777])
def test_a_file_that_others_can_read_or_write_is_refused(file: Path, mode: int) -> None:
    new_token(file, "anna")
    file.chmod(mode)
    with pytest.raises(RequestError, match=rf"has the mode {mode:04o}.*chmod 600 {file}") as caught:
        Tokens.load(file)
    assert caught.value.field == "auth.tokens_file"
    file.chmod(0o640)
    Tokens.load(file)


@pytest.mark.parametrize(
    "line", ["anna", "anna:secret-token", f"anna:{'A' * 64}", f":{'a' * 64}", f"a b:{'a' * 64}", "anna:" + "é" * 64]
)
def test_a_line_that_is_none_is_told_without_its_text(file: Path, line: str) -> None:
    file.write_text(f"# comment\n\n  \nok:{'0' * 64}\n{line}\n")
    file.chmod(0o600)
    with pytest.raises(RequestError, match="line 5 of the tokens file") as caught:
        Tokens.load(file)
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_told(file: Path) -> None:
    with pytest.raises(RequestError, match=f"{file} cannot be read: No such file.*mive-server token"):
        Tokens.load(file)
    with pytest.raises(OutputError):
        new_token(file / "none", "anna")


@pytest.mark.parametrize("name", ["", "a b", "a:b", "-a", "a" * 65, "é", "a\nb"])
def test_a_name_is_a_word(file: Path, name: str) -> None:
    with pytest.raises(RequestError, match="is no name for a token"):
        new_token(file, name)
    assert not file.exists()


def test_a_name_is_used_once(file: Path) -> None:
    new_token(file, "anna")
    before = file.read_bytes()
    with pytest.raises(RequestError, match='there is a token "anna"'):
        new_token(file, "anna")
    assert file.read_bytes() == before


def test_tokens_made_at_once_are_all_kept(file: Path) -> None:
    def make(number: int) -> str:
        try:
            return new_token(file, f"name{number % 10}")
        except RequestError:
            return ""

    with ThreadPoolExecutor(20) as pool:
        made = [token for token in pool.map(make, range(20)) if token]
    tokens = Tokens.load(file)
    assert len({tokens.owner(f"Bearer {token}").id for token in made}) == 10 == len(made)


def test_a_new_token_leaves_mode_and_text_of_the_file(file: Path) -> None:
    file.write_text(f"# ours\nold:{'0' * 64}")
    file.chmod(0o640)
    inode = file.stat().st_ino
    new_token(file, "anna")
    assert file.read_text().startswith(f"# ours\nold:{'0' * 64}\nanna:")
    assert (stat.S_IMODE(file.stat().st_mode), file.stat().st_ino) == (0o640, inode)


def who() -> str:
    return current_owner().name


def test_every_kind_of_call_knows_its_owner(file: Path) -> None:
    token = {name: new_token(file, name) for name in ("anna", "ben")}

    async def test() -> None:
        async with serving(who, [AuthInterceptor(Tokens.load(file))]) as channel:
            for kind in KINDS:
                # Side by side, so that one call's owner would show in another.
                names = ["anna", "ben"] * 5
                answers = await asyncio.gather(*(call(channel, kind, metadata=bearer(token[name])) for name in names))
                assert [set(answer) for answer in answers] == [{name} for name in names]

    run(test())
    with pytest.raises(LookupError):
        current_owner()


def test_every_kind_of_call_without_a_token_is_refused_before_its_handler_runs(file: Path) -> None:
    """Also with two at once, and also a stream that never sends anything."""
    token = new_token(file, "anna")

    def never() -> str:
        raise AssertionError("the handler ran")

    async def test() -> None:
        async with serving(never, [AuthInterceptor(Tokens.load(file))]) as channel:
            for kind in (*KINDS, "MadeUp"):
                for metadata in ((), bearer("guess"), bearer(token) * 2):
                    code, message, details = await failure(channel, kind, metadata=metadata)
                    assert code == grpc.StatusCode.UNAUTHENTICATED
                    assert 'Expected metadata "authorization: Bearer TOKEN"' in message
                    status = read_status(details, code=code.value[0], message=message)
                    assert "operator" in error_from_status(status).fix

    run(test())


def test_health_is_for_everyone(file: Path) -> None:
    new_token(file, "anna")

    async def test() -> None:
        async with serving(who, [AuthInterceptor(Tokens.load(file))]) as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING

    run(test())


def test_without_tokens_everyone_is_one_owner() -> None:
    async def test() -> None:
        async with serving(who, [AuthInterceptor(None)]) as channel:
            for kind in KINDS:
                assert set(await call(channel, kind, metadata=bearer("whatever"))) == {LOCAL.name}

    run(test())


def test_refusals_are_logged_without_the_token(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    new_token(file, "anna")

    async def test() -> None:
        async with serving(who, [AuthInterceptor(Tokens.load(file))]) as channel:
            await failure(channel, "One", metadata=bearer("mive_guess"))

    with caplog.at_level(logging.INFO):
        run(test())
    assert "refused: ipv4:127.0.0.1" in caplog.text
    assert "mive_guess" not in caplog.text
