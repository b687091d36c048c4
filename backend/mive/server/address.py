"""Where a server listens: a TCP port, or a Unix socket."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from mive.base.validation import reject

_UNIX: Final = "unix://"
_UNIX_BYTES: Final = 107
"""The longest path that a socket can have on Linux."""


@dataclass(frozen=True)
class Address:
    """A place to listen.

    Attributes:
        host: a name or a number, IPv6 without brackets; "" for a Unix socket.
        port: 0 lets the system choose; None for a Unix socket.
        path: of a Unix socket.
    """

    host: str = ""
    port: int | None = None
    path: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads "127.0.0.1:7433", "[::1]:7433", "name:7433" or "unix:///run/mive.sock"; for use in validators.

        Raises:
            PydanticCustomError: it is none of them.
        """
        if text.startswith(_UNIX):
            path = text.removeprefix(_UNIX)
            if path.startswith("/") and len(path.encode()) <= _UNIX_BYTES:
                return cls(path=Path(path))
        elif (match := re.fullmatch(r"\[([0-9a-fA-F:.%\w]+)\]:(\d{1,5})|([\w.-]+):(\d{1,5})", text)) is not None:
            port = int(match[2] or match[4])
            if port < 2**16:
                return cls(match[1] or match[3], port)
        reject(
            f'"{text}" is no address to listen on',
            expected=f'HOST:PORT, [IPv6]:PORT, or "unix://" and an absolute path of at most {_UNIX_BYTES} bytes',
            fix='Write for instance "127.0.0.1:7433"',
        )

    @property
    def target(self) -> str:
        """What gRPC takes, and :meth:`parse` reads."""
        if self.path is not None:
            return f"{_UNIX}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @cached_property
    def loopback(self) -> bool:
        """Nobody on another machine can reach it: a name stands for nothing else, and is known."""
        if self.path is not None:
            return True
        try:
            hosts = {str(info[4][0]) for info in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)}
        # The latter is a name that cannot be one.
        except (OSError, UnicodeError):
            return False
        return all(_is_loopback(host) for host in hosts)


def _is_loopback(host: str) -> bool:
    number = ipaddress.ip_address(host)
    inner = getattr(number, "ipv4_mapped", None)
    return (inner or number).is_loopback
