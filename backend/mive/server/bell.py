"""Wakes the processes that share a job store, so that none of them has to ask again and again.

Every process that listens has a named pipe in one folder; whoever changed something writes a byte into all of them. A
bell may ring for nothing, and one that is not heard costs a moment: all who listen also look after a while by
themselves.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import select
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_DEAF_SECONDS: Final = 0.05
"""How often is looked where the file system has no pipes."""

_RING: Final = b"!"


class Bell:
    """Rings at all who listen in a folder; threads may use it at once.

    Args:
        folder: of pipes; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ring(self) -> None:
        """Wake them. Never waits, and is never an error."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self.folder):
                _ring(os.path.join(self.folder, name))


class Listener:
    """One that is woken by a `Bell`.

    Args:
        folder: of the bell; is made.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{os.getpid()}.{secrets.token_hex(4)}"
        self._pipe: int | None = None
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.mkfifo(self._path, 0o600)
            # Also to write, so that it never comes to an end, and can wake itself.
            self._pipe = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    @property
    def descriptor(self) -> int | None:
        """Can be read after a ring; None where the file system has no pipes."""
        return self._pipe

    def wait(self, seconds: float) -> None:
        """Return after the next ring since the last `wait` or `heard`, or after so long."""
        if self._pipe is None:
            time.sleep(min(seconds, _DEAF_SECONDS))
            return
        select.select([self._pipe], [], [], seconds)
        self.heard()

    def heard(self) -> None:
        """Forget the rings so far. What was changed before them can be seen by now."""
        with contextlib.suppress(OSError):
            while self._pipe is not None and os.read(self._pipe, 4096):
                pass

    def ring(self) -> None:
        """Wake this one; a signal handler may do so."""
        with contextlib.suppress(OSError):
            if self._pipe is not None:
                os.write(self._pipe, _RING)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            os.close(pipe)


def _ring(path: str) -> None:
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        # Nobody reads it any more: its process was killed.
        if error.errno == errno.ENXIO:
            with contextlib.suppress(OSError):
                os.unlink(path)
        return
    # One that is full has rung already.
    with contextlib.suppress(OSError):
        os.write(pipe, _RING)
    os.close(pipe)
