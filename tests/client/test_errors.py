"""What goes wrong between a client and a server, as sentences with a remedy."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import grpc
import pytest
from tests.client.fake_server import FakeServer

from mive.client import Address, Client, ServerError, TimedOut, Tls, TlsMismatch, TokenRefused, Unreachable
from mive.client.address import find_token
from mive.client.errors import refusal
from mive.errors import MiveError, RequestError


def test_no_server_is_told_at_once_with_how_to_start_one() -> None:
    begun = time.monotonic()
    with Client("127.0.0.1:1") as client, pytest.raises(Unreachable) as error:
        client.server_info()
    assert error.value.what == "no server answers at 127.0.0.1:1 (Connection refused)"
    assert "mive-server --engine torch --bundle tiny" in error.value.fix
    assert time.monotonic() - begun < 10


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    with Client(f"unix://{tmp_path}/none") as client, pytest.raises(Unreachable, match="No such file"):
        client.jobs()


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, TokenRefused, "MIVE_TOKEN"),
        (grpc.StatusCode.UNIMPLEMENTED, ServerError, "does not know this call"),
        (grpc.StatusCode.UNKNOWN, ServerError, r"without giving a reason \(UNKNOWN: of its own\)"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, TimedOut, "did not answer in time"),
    ],
)
def test_a_status_without_details_still_says_something(
    client: Client, server: FakeServer, code: grpc.StatusCode, kind: type[MiveError], words: str
) -> None:
    server.be.bare_status = code
    with pytest.raises(kind, match=words):
        client.server_info()


def test_the_token_goes_with_every_call(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.be.token = "s3cret"
    with Client(server.address, token="other") as client, pytest.raises(TokenRefused, match="no such token"):
        client.server_info()
    (tmp_path / "token").write_text("s3cret\n")
    monkeypatch.setenv("MIVE_TOKEN_FILE", str(tmp_path / "token"))
    with Client(server.address) as client:
        assert client.server_info().engine == "fake"
    monkeypatch.setenv("MIVE_TOKEN", "wrong")
    with Client(server.address) as client, pytest.raises(TokenRefused):
        client.server_info()


def test_the_server_may_come_from_the_environment(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIVE_SERVER", server.address)
    with Client() as client:
        info = client.server_info()
    assert (info.state, info.bundle, info.versions, info.limits.job_frames) == ("ready", "tiny", {"mive": "0"}, 1000)


@pytest.mark.parametrize("text", ["render7", "http://render7:7433", "render7:0", "render7:99999", "unix:here", "a b:1"])
def test_an_address_that_is_none(text: str) -> None:
    with pytest.raises(RequestError, match="is no address"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("127.0.0.1:7433", True), ("[::1]:7433", True), ("localhost:7433", True), ("unix:///run/mive.sock", True),
        ("10.0.0.7:7433", False), ("render7:7433", False), ("127.0.0.1.example.com:7433", False),
    ],
)  # fmt: skip
def test_what_counts_as_this_machine(text: str, local: bool) -> None:
    assert Address.parse(text).local == local


def test_a_token_that_would_break_a_header_is_refused() -> None:
    with pytest.raises(RequestError, match="no token has"):
        find_token("a\nb")


def test_tls_cannot_be_both_asked_for_and_forbidden() -> None:
    with pytest.raises(RequestError, match="forbidden"):
        Client("render7:7433", tls=Tls(), insecure=True)


def test_plain_text_never_goes_to_another_machine_unasked() -> None:
    """TLS is what a server without it notices first."""
    failed = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="SSL: WRONG_VERSION_NUMBER"
    )
    assert "does not speak TLS" in refusal(failed, Address.parse("render7:7433")).message()
    from mive.client.connection import Connection

    def secure(address: str, **options: bool) -> bool:
        given = {"insecure": False, **options}
        where = Connection(Address.parse(address), token=None, tls=None, patience=1, **given)
        return where._credentials is not None

    assert secure("render7:7433")
    assert not secure("render7:7433", insecure=True)
    assert not secure("127.0.0.1:7433")


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for this machine that signs itself, and its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
         key, "-out", cert, "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_tls_works_or_says_what_does_not_fit(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "server")
    other, _ = certificate(tmp_path, "other")
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
    with FakeServer(tmp_path, credentials=credentials) as server:
        with Client(f"localhost:{server.port}", token="s3cret", tls=Tls(ca=cert)) as client:
            assert client.server_info().engine == "fake"
            assert len(client.upload(b"some bytes")) == 64
        for address, tls, words in (
            (server.address, Tls(ca=cert), "is for another name"),
            (f"localhost:{server.port}", Tls(ca=other), r"is not signed by.*--ca"),
            (server.address, None, "hangs up at once"),
        ):
            with Client(address, tls=tls) as client, pytest.raises(TlsMismatch, match=words):
                client.server_info()


def test_a_server_without_tls_is_told_apart(server: FakeServer, tmp_path: Path) -> None:
    tls = Tls(ca=certificate(tmp_path, "any")[0])
    with Client(server.address, tls=tls) as client, pytest.raises(TlsMismatch, match=r"does not speak TLS.*--ca"):
        client.server_info()
