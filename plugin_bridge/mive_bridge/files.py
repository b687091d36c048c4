"""Files that are whole or absent, also after the process was killed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

PART: Final = ".part"
"""What a killed process left half written ends with this."""

Data = bytes | bytearray | memoryview


def write_whole(path: Path, parts: Iterable[Data], *, flush: bool = False) -> None:
    """Writes a file aside and renames it.

    Args:
        flush: it is whole after a power cut too, which takes the time of the disk.

    Raises:
        OSError: the disk is full, or may not be written.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        with aside.open("wb") as file:
            for part in parts:
                file.write(part)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def folder_aside(folder: Path) -> Iterator[Path]:
    """A folder that takes the place of ``folder``, and of whatever is there, when the block ends well."""
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{PART}")
    aside.mkdir(parents=True)
    try:
        yield aside
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def remove_parts(folder: Path, seconds: float = 0.0) -> None:
    """Removes what a killed process left half written.

    Args:
        seconds: how old it must be, where other processes may be writing.
    """
    for entry in folder.glob(f".*{PART}"):
        if age_of(entry) > time.time() - seconds:
            continue
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


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
