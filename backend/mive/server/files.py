"""Files of the service that are whole or absent: written aside, flushed, renamed, and the rename flushed too."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from mive.media.atomic import output_error

_ASIDE = ".part"


def write_whole(path: Path, parts: Iterable[bytes | memoryview], what: str) -> None:
    """Write a file under its final name, all of it or nothing.

    Args:
        path: its folder exists.
        parts: its content.
        what: what the file is, for people; paths of the server are none of their business.

    Raises:
        OutputError: the disk is full, or may not be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}{_ASIDE}")
    try:
        try:
            with aside.open("wb", buffering=0) as file:
                for part in parts:
                    _write_all(file.fileno(), part)
                os.fsync(file.fileno())
            aside.replace(path)
            flush_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(error, Path(what)) from error


def remove_asides(folder: Path) -> None:
    """Remove what a killed process left half written."""
    for aside in folder.glob(f".*{_ASIDE}"):
        with contextlib.suppress(OSError):
            aside.unlink()


def make_folder(folder: Path, what: str) -> None:
    """Make a folder for this user only.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise output_error(error, Path(what)) from error


def flush_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    left = memoryview(data).cast("B")
    while left:
        left = left[os.write(descriptor, left) :]
