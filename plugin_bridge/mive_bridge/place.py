"""Where the bridge listens, and that only one does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mive.errors import OutputError

_BACKLOG: Final = 64
_UCRED: Final = struct.Struct("3i")


class Served(Exception):
    """Another bridge serves the socket."""


class Place:
    """A socket that listens for as long as this is open.

    Raises:
        Served: another bridge listens there.
        OutputError: nobody can, or not safely.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _as_output_error(path):
            check_folder(path.parent, make=True)
            self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                self.listener = self._listen()
                self._made = _identity(path)
            except BaseException:
                os.close(self._lock)
                raise

    @property
    def lost(self) -> bool:
        """The socket's file was removed or replaced, by what cleans up ``/tmp`` for instance: no plugin finds it."""
        return _identity(self.path) != self._made

    def close(self) -> None:
        """Listens no more."""
        if not self.lost:
            with contextlib.suppress(OSError):
                self.path.unlink()
        self.listener.close()
        os.close(self._lock)

    def _listen(self) -> socket.socket:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Served from None
        if answers(self.path):
            raise Served
        check_socket(self.path)
        # That of a bridge that was killed.
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(str(self.path))
            self.path.chmod(0o600)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener


def check_folder(folder: Path, *, make: bool) -> None:
    """Refuses a folder in which somebody else could replace the socket.

    Raises:
        OutputError: it is not this user's alone.
        OSError: it cannot be made, or is not there.
    """
    if make:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700, parents=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        raise OutputError(
            f"{folder} is not this user's",
            expected="a folder of the user's own for the socket",
            fix="Remove it, or set MIVE_BRIDGE_SOCKET for the host and the bridge",
        )
    if facts.st_mode & stat.S_IWOTH and not facts.st_mode & stat.S_ISVTX:
        raise OutputError(
            f"everybody may write to {folder}",
            expected="a folder of the user's own for the socket",
            fix=f"chmod 700 {folder}",
        )


def check_socket(path: Path) -> None:
    """Refuses to take the place of anything but a socket.

    Raises:
        OutputError: something else is there.
    """
    if path.exists() and not path.is_socket():
        raise OutputError(
            f"{path} is no socket",
            expected="a path that nothing else uses",
            fix="Remove it, or set MIVE_BRIDGE_SOCKET for the host and the bridge",
        )


def answers(path: Path) -> bool:
    """Somebody listens there."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            # It hangs, and so many wait already that there is no room for one more.
            return True
        except OSError:
            return False
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file this is; None where there is none."""
    try:
        facts = path.lstat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def is_own_user(connection: socket.socket) -> bool:
    """The other side belongs to the same user."""
    return _peer(connection)[1] == os.geteuid()


def listening_process(connection: socket.socket) -> int:
    """The id of the process that a connection was made to."""
    return _peer(connection)[0]


def _peer(connection: socket.socket) -> tuple[int, int, int]:
    """Process, user and group."""
    process, user, group = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return process, user, group


@contextlib.contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"nobody can listen at {path}: {error.strerror or error}",
            expected="a folder that may be written, and a path of at most 107 bytes",
            fix="Set MIVE_BRIDGE_SOCKET for the host and the bridge",
        ) from error
