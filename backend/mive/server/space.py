"""Room on the disk, looked at before something is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from mive.base.atomic import output_errors
from mive.errors import OutputError

_SPARED: Final = 64 << 20
_SPARED_SHARE: Final = 0.05


def require_space(folder: Path, size: int, what: str) -> None:
    """Refuse to begin what would fill the disk: its last 64 MiB, or 5 %, are for the job store and checkpoints.

    Args:
        size: bytes that are about to be written to the folder's disk.
        what: they are, for people.

    Raises:
        OutputError: there is not enough room.
    """
    with output_errors(what):
        disk = shutil.disk_usage(folder)
    room = max(disk.free - min(_SPARED, int(disk.total * _SPARED_SHARE)), 0)
    if size > room:
        raise OutputError(
            f"There is no space left for {what}: {size} bytes, and {room} are free",
            expected="room for all of it",
            fix="Send less, or ask who runs the server to free some space",
        )
