"""Certificates and keys as PEM files, checked before gRPC sees them: it would only say that a handshake failed."""

from __future__ import annotations

import ssl
import stat
import time
from pathlib import Path
from typing import Final, Literal

import grpc

from mive.errors import RequestError

Role = Literal["server", "client"]

_DATES: Final = {"certificate has expired": "it has expired", "certificate is not yet valid": "it is not valid yet"}


def channel_credentials(
    ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> grpc.ChannelCredentials:
    """What a client needs to call a server over TLS.

    Args:
        ca: issuers of servers' certificates; None takes those that gRPC brings along.
        certificate, key: of the client, for servers that ask for them.

    Raises:
        RequestError: a file is missing, damaged, expired, or does not fit the other.
    """
    roots = None if ca is None else read_authorities(ca)
    if certificate is None or key is None:
        if (certificate, key) != (None, None):
            raise RequestError(
                f"a client's {'certificate' if certificate is None else 'key'} is missing",
                expected="certificate and key, both or neither",
                fix="Name the other file too",
            )
        return grpc.ssl_channel_credentials(roots)
    chain, private = read_pair(certificate, key, "client")
    return grpc.ssl_channel_credentials(roots, private, chain)


def read_pair(certificate: Path, key: Path, role: Role) -> tuple[bytes, bytes]:
    """A certificate with its issuers and its private key, as PEM, fit for use now.

    Raises:
        RequestError: one is missing, damaged or encrypted, others may read the key, they do not belong together, or the
            certificate has expired or is not for this role.
    """
    chain, private = _read(certificate, f"{role}'s certificate"), _read_secret(key, f"{role}'s key")
    own = _context(role)
    try:
        own.load_cert_chain(certificate, key, password=lambda: _encrypted(key))
    except ssl.SSLError as error:
        raise _bad_pair(certificate, key, role, error) from error
    peer = _context("client" if role == "server" else "server")
    if role == "client":
        peer.load_cert_chain(certificate, key)
    # Trusting the certificate itself leaves its dates and its purpose to be checked.
    peer.load_verify_locations(certificate)
    peer.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    peer.verify_mode = ssl.CERT_REQUIRED
    try:
        _shake_hands(*((own, peer) if role == "server" else (peer, own)))
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", error.reason)
        reason = _DATES.get(reason, reason)
        raise RequestError(
            f"the {role}'s certificate {certificate} cannot be used: {reason}",
            expected=f"a certificate that is valid now, for a {role}",
            fix="Renew it, or look at this machine's clock",
        ) from error
    return chain, private


def read_authorities(path: Path) -> bytes:
    """Issuers of certificates, as PEM.

    Raises:
        RequestError: the file is missing, holds none, or one has expired.
    """
    text = _read(path, "file of issuers")
    context = _context("client")
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise RequestError(
            f"the file of issuers {path} holds no certificate",
            expected="one or more certificates as PEM",
            fix="Name the issuers' certificates, not a key",
        ) from error
    ends = [ssl.cert_time_to_seconds(str(issuer["notAfter"])) for issuer in context.get_ca_certs()]
    if ends and max(ends) < time.time():
        raise RequestError(
            f"the issuers' certificates in {path} have expired",
            expected="at least one that is valid now",
            fix="Renew it, or look at this machine's clock",
        )
    return text


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(
            f"the {what} {path} cannot be read: {error.strerror}",
            expected="a PEM file that this process may read",
            fix="Correct the path or its permissions",
        ) from error


def _read_secret(path: Path, what: str) -> bytes:
    text = _read(path, what)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise RequestError(
            f"the {what} {path} has the mode {mode:04o}, which lets others at it",
            expected="mode 0600, or 0640 where a group has to read it",
            fix=f"chmod 600 {path}",
        )
    return text


def _context(role: Role) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if role == "server" else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _encrypted(key: Path) -> str:
    raise RequestError(
        f"the key {key} is encrypted",
        expected="a key without a password, in a file that nobody else may read",
        fix=f"openssl pkey -in {key} -out PLAIN.pem",
    )


def _bad_pair(certificate: Path, key: Path, role: Role, error: ssl.SSLError) -> RequestError:
    if error.reason == "KEY_VALUES_MISMATCH":
        what, expected = f"the key {key} is not that of the {role}'s certificate {certificate}", "two files of one pair"
    else:
        what = f"the {role}'s certificate {certificate} or its key {key} is damaged ({error.reason})"
        expected = "a certificate and a private key as PEM"
    return RequestError(what, expected=expected, fix="Name the two files that were made together, in the right order")


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """A TLS handshake without a network.

    Raises:
        SSLError: one does not like the other's certificate.
    """
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True))
    # Client hello, server's flight, client's flight; the rest are session tickets.
    for _ in range(3):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
