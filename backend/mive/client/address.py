"""Where a server is, and what it takes to be let in."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from mive.errors import RequestError

DEFAULT_ADDRESS: Final = "127.0.0.1:7433"


@dataclass(frozen=True)
class Tls:
    """The files of a TLS connection, in PEM form.

    Attributes:
        ca: certificates of the authorities that the server's may be signed by; None means the usual ones.
        cert, key: this client's own, where the server asks for one; both or none.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    Attributes:
        target: as gRPC takes it.
        local: on this machine, beyond doubt.
    """

    target: str
    local: bool

    @classmethod
    def parse(cls, text: str | None = None) -> Self:
        """Reads ``host:port``, ``[::1]:port`` or ``unix:///path``; None means ``MIVE_SERVER``, else the usual one.

        Raises:
            RequestError: it is none of them.
        """
        text = text or os.environ.get("MIVE_SERVER") or DEFAULT_ADDRESS
        if re.fullmatch(r"unix:///[^\0]+", text):
            return cls(text, local=True)
        match = re.fullmatch(r"(\[[0-9a-fA-F:.%]+\]|[^\s:/\[\]]+):([0-9]{1,5})", text)
        if match is None or not 0 < int(match[2]) < 65536:
            raise RequestError(
                f'"{text}" is no address of a server',
                expected='a host and its port, such as "render7:7433", or "unix:///run/mive.sock"',
                fix="Correct --server or MIVE_SERVER",
            )
        return cls(text, local=_is_loopback(match[1].strip("[]")))

    def __str__(self) -> str:
        return self.target


def find_token(token: str | None = None) -> str | None:
    """The token itself, or that of ``MIVE_TOKEN`` or of the file ``MIVE_TOKEN_FILE``, else None.

    Raises:
        RequestError: it cannot be read or sent.
    """
    if token is None:
        token = os.environ.get("MIVE_TOKEN") or None
    if token is None and (file := os.environ.get("MIVE_TOKEN_FILE")):
        token = read_token(Path(file))
    if token is not None and not re.fullmatch(r"[!-~]+", token):
        raise RequestError(
            "the token holds characters that no token has",
            expected="printable ASCII without blanks",
            fix="Copy it again",
        )
    return token


def read_token(path: Path) -> str:
    """The token in a file.

    Raises:
        RequestError: there is no such file, or nothing in it.
    """
    try:
        token = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise RequestError(
            f"the token file {path} cannot be read: {error.strerror}",
            expected="a file that holds the token",
            fix="Check the path and its permissions",
        ) from error
    if not token:
        raise RequestError(f"the token file {path} is empty", expected="the token", fix="Put the token in it")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
