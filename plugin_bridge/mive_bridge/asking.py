"""The asking side of the link, for programs of this package."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

from mive import __version__
from mive.base.places import socket_path
from mive.client.errors import Unreachable
from mive_bridge.messages import HEAD, MOST_BYTES, Malformed, Message, decode, encode
from mive_bridge.place import is_own_user
from mive_bridge.talk import PROTOCOL

_SECONDS: Final = 5.0
"""How long a bridge may take to answer."""

_STARTING: Final = 60.0
"""Seconds until a bridge listens."""


class Asking:
    """A connection to a bridge, which said hello.

    Args:
        connection: with a timeout; closed with this.
        name: of this program, for the bridge's log.

    Raises:
        OSError, Malformed: there is no bridge at the other end.
    """

    def __init__(self, connection: socket.socket, name: str) -> None:
        self._connection = connection
        self._count = 0
        hello = {"protocol": str(PROTOCOL), "plugin": __version__, "host": name, "pid": str(os.getpid())}
        self.version = self.ask("hello", **hello).fields.get("bridge", "of another version")

    @classmethod
    def begin(cls, name: str) -> Self:
        """A connection to the user's bridge, which is started where none runs.

        Raises:
            Unreachable: that failed.
        """
        path = socket_path().absolute()
        try:
            return cls(_connected(path), name)
        except (OSError, Malformed, subprocess.SubprocessError) as error:
            raise Unreachable(
                f"no bridge can be talked to at {path}: {error}",
                expected="a bridge, or room to start one",
                fix='"mive-bridge --doctor" says what is wrong',
            ) from error

    def ask(self, kind: str, **fields: str) -> Message:
        """The answer to a request.

        Raises:
            OSError, Malformed: there was none.
        """
        self._count += 1
        self._connection.sendall(encode(Message(kind, {"id": str(self._count), **fields})))
        (size,) = HEAD.unpack(self._connection.recv(HEAD.size, socket.MSG_WAITALL).ljust(HEAD.size, b"\xff"))
        if size > MOST_BYTES:
            raise Malformed("the answer is no message")
        return decode(self._connection.recv(size, socket.MSG_WAITALL))

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_SECONDS)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            # One that finds another bridge there leaves at once.
            subprocess.run([sys.executable, "-m", "mive_bridge.cli", "--detach"], check=True, timeout=_STARTING)
            connection.connect(str(path))
        if not is_own_user(connection):
            raise PermissionError("it is another user's")
    except BaseException:
        connection.close()
        raise
    return connection
