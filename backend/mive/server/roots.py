"""Which paths of the server's own disk clients may name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mive.errors import MediaError, RequestError
from mive.media.sequence import find_sequence

_NAME_BYTES: Final = 255
_PATH_BYTES: Final = 4000


class Roots:
    """Folders below which clients may name clips and mattes.

    Paths are followed to where they really lead, and so are the links in a folder or sequence that is named. A link
    that is changed while a job waits is not noticed: who may write in a root decides what clients read.

    Args:
        roots: the folders; none means that no path may be named, ``/`` that every path may.
        closed: a folder of which nothing may be named, wherever the roots are.
    """

    def __init__(self, roots: Iterable[Path] | None, closed: Path | None = None) -> None:
        self._roots = tuple(root.resolve() for root in roots or ())
        self._closed = None if closed is None else closed.resolve()

    def check(self, path: str, field: str) -> str:
        """The path, with all links followed.

        Args:
            field: where the request names it.

        Raises:
            RequestError: it may not be named; that something is there, or not, is not told.
        """
        if not self._roots:
            raise RequestError(
                "this server takes no paths",
                expected="uploaded files, or frames",
                fix="Upload the files",
                field=field,
            )
        resolved = self._resolved(path)
        # What lies outside is not even looked at.
        if resolved is None or not self._allowed(resolved) or not all(map(self._allowed, _links(resolved))):
            raise RequestError(
                "the path is outside the folders that clients may name",
                expected="an absolute path below a folder that the server's operator has chosen for clients",
                fix="Upload the files, or ask the operator to add their folder",
                field=field,
            )
        return str(resolved)

    def _resolved(self, path: str) -> Path | None:
        if not os.path.isabs(path) or len(os.fsencode(path)) > _PATH_BYTES:
            return None
        if any(len(os.fsencode(part)) > _NAME_BYTES for part in Path(path).parts):
            return None
        # A NUL byte, or links that run in a circle.
        with contextlib.suppress(ValueError, OSError, RuntimeError):
            return Path(path).resolve()
        return None

    def _allowed(self, place: Path) -> bool:
        with contextlib.suppress(OSError, RuntimeError):
            resolved = place.resolve()
            if self._closed is None or not resolved.is_relative_to(self._closed):
                return any(map(resolved.is_relative_to, self._roots))
        return False


def _links(path: Path) -> list[Path]:
    """The links among the files that a folder, a pattern or a numbered file stands for."""
    try:
        if path.is_dir():
            return [Path(entry.path) for entry in os.scandir(path) if entry.is_symlink()]
        sequence = find_sequence(path, holes=True)
    # Whoever opens it will say what is wrong with it.
    except (MediaError, OSError):
        return []
    return [file for file in sequence.files if file.is_symlink()] if sequence is not None else []
