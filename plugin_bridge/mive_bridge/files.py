"""Facts of files, which may be gone, and folders for one user."""

from __future__ import annotations

import os
from pathlib import Path


def private_folder(folder: Path) -> None:
    """Makes a folder that nobody else may look into.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where it is gone."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def age_of(path: Path) -> float:
    """When it was last used, in seconds since the epoch; 0 where it is gone."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
