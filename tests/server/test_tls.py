"""TLS and mutual TLS, and what is said of certificates that cannot work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from tests.server.calls import call, run, serving

from mive.errors import RequestError
from mive.server.auth import AuthInterceptor, current_owner
from mive.server.config import TlsOptions
from mive.server.tls import server_credentials
from mive.server.tokens import Tokens, new_token
from mive.wire.tls import Role, channel_credentials, read_pair

NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Files:
    """PEM files of one authority and of what it issued."""

    ca: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Files]:
    """``make("localhost", not_after=...)``: a certificate of a new authority."""

    def issue(name: str = "localhost", **changes: datetime) -> Files:
        folder = tmp_path_factory.mktemp("pki")
        authority = trustme.CA()
        issued = authority.issue_cert(name, **changes)
        files = Files(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
        authority.cert_pem.write_to_path(str(files.ca))
        issued.private_key_pem.write_to_path(str(files.key))
        files.key.chmod(0o600)
        for blob in issued.cert_chain_pems:
            blob.write_to_path(str(files.certificate), append=True)
        return files

    return issue


@pytest.fixture(scope="module")
def server(make: Callable[..., Files]) -> Files:
    return make()


@pytest.fixture(scope="module")
def client(make: Callable[..., Files]) -> Files:
    return make("client")


@pytest.fixture(scope="module")
def anna(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokens, str]:
    """All the tokens of a server, which is one, and that one."""
    file = tmp_path_factory.mktemp("auth") / "tokens"
    token = new_token(file, "anna")
    return Tokens.load(file), token


def outcome(anna: tuple[Tokens, str], options: TlsOptions, client: grpc.ChannelCredentials) -> str:
    """Who the server takes a caller with Anna's token for, or why the call fails."""
    credentials = server_credentials(options)
    assert credentials is not None
    tokens, token = anna
    said: list[str] = []

    async def test() -> None:
        async with serving(lambda: current_owner().name, [AuthInterceptor(tokens)], (credentials, client)) as channel:
            try:
                said.extend(await call(channel, "One", metadata=(("authorization", f"Bearer {token}"),)))
            except grpc.aio.AioRpcError as error:
                said.append(error.code().name)

    run(test())
    return said[0]


def test_without_a_certificate_there_is_no_tls() -> None:
    assert server_credentials(TlsOptions()) is None


def test_a_client_that_knows_the_issuer_gets_through(anna: tuple[Tokens, str], server: Files, client: Files) -> None:
    options = TlsOptions(certificate=server.certificate, key=server.key)
    assert outcome(anna, options, channel_credentials(server.ca)) == "anna"
    assert outcome(anna, options, channel_credentials(client.ca)) == "UNAVAILABLE"
    assert outcome((anna[0], "guess"), options, channel_credentials(server.ca)) == "UNAUTHENTICATED"


def test_mutual_tls_wants_a_certificate_of_the_right_issuer_and_a_token(
    anna: tuple[Tokens, str], server: Files, client: Files
) -> None:
    options = TlsOptions(certificate=server.certificate, key=server.key, client_ca=client.ca)
    known = channel_credentials(server.ca, client.certificate, client.key)
    assert outcome(anna, options, known) == "anna"
    assert outcome((anna[0], "guess"), options, known) == "UNAUTHENTICATED"
    strange = channel_credentials(server.ca, server.certificate, server.key)
    for stranger in (strange, channel_credentials(server.ca)):
        assert outcome(anna, options, stranger) == "UNAVAILABLE"


def test_key_and_certificate_of_two_pairs_are_told_apart(server: Files, client: Files) -> None:
    with pytest.raises(RequestError, match=f"the key {client.key} is not that of the server's certificate"):
        server_credentials(TlsOptions(certificate=server.certificate, key=client.key))


def test_a_certificate_outside_its_dates_is_told(make: Callable[..., Files]) -> None:
    day = timedelta(days=1)
    old = make(not_before=NOW - 3 * day, not_after=NOW - day)
    with pytest.raises(RequestError, match=f"{old.certificate} cannot be used: it has expired.*Renew it"):
        server_credentials(TlsOptions(certificate=old.certificate, key=old.key))
    with pytest.raises(RequestError, match=r"client's certificate .* it has expired"):
        channel_credentials(old.ca, old.certificate, old.key)
    early = make(not_before=NOW + day, not_after=NOW + 3 * day)
    with pytest.raises(RequestError, match="it is not valid yet"):
        read_pair(early.certificate, early.key, "server")


def test_an_expired_issuer_is_told(server: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mive.wire.tls.time.time", lambda: (NOW + timedelta(days=365_000)).timestamp())
    with pytest.raises(RequestError, match=f"{server.ca} have expired"):
        channel_credentials(server.ca)


def test_a_missing_file_is_told(server: Files, tmp_path: Path) -> None:
    none = tmp_path / "none.pem"
    with pytest.raises(RequestError, match=f"the server's certificate {none} cannot be read: No such file"):
        server_credentials(TlsOptions(certificate=none, key=server.key))
    with pytest.raises(RequestError, match=f"the server's key {none} cannot be read"):
        server_credentials(TlsOptions(certificate=server.certificate, key=none))
    with pytest.raises(RequestError, match=f"the file of issuers {none} cannot be read"):
        server_credentials(TlsOptions(certificate=server.certificate, key=server.key, client_ca=none))
    with pytest.raises(RequestError, match="a client's key is missing"):
        channel_credentials(server.ca, server.certificate)
    with pytest.raises(RequestError, match="a client's certificate is missing"):
        channel_credentials(server.ca, key=server.key)


@pytest.mark.parametrize("text", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_damaged_file_is_told(server: Files, tmp_path: Path, text: str) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text(text)
    for certificate, key in ((bad, server.key), (server.certificate, bad)):
        with pytest.raises(RequestError, match="damaged"):
            read_pair(certificate, key, "server")
    with pytest.raises(RequestError, match="holds no certificate"):
        channel_credentials(bad)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o660, 0o666])
@pytest.mark.parametrize("role", ["server", "client"])
def test_a_key_that_others_can_read_is_refused(server: Files, tmp_path: Path, mode: int, role: Role) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(server.key.read_bytes())
    key.chmod(mode)
    with pytest.raises(RequestError, match=f"mode {mode:04o}.*chmod 600 {key}"):
        read_pair(server.certificate, key, role)
    for private in (0o600, 0o400, 0o640):
        key.chmod(private)
        read_pair(server.certificate, key, "server")


def test_an_encrypted_key_is_told_with_the_way_out(server: Files, tmp_path: Path) -> None:
    key = load_pem_private_key(server.key.read_bytes(), None)
    secret = tmp_path / "key.pem"
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")))
    secret.chmod(0o600)
    with pytest.raises(RequestError, match=f"{secret} is encrypted.*openssl pkey"):
        read_pair(server.certificate, secret, "server")
