"""Files and folders of the service that are whole or absent: written aside, flushed, renamed, and the rename too."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from mive.media.atomic import output_error

OWNER: Final = "[0-9a-z]{1,128}"
"""What all owners look like, so that they are safe as names of folders."""

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
            flush(path.parent)
        finally:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(error, Path(what)) from error


@contextlib.contextmanager
def folder_aside(parent: Path, what: str) -> Iterator[Path]:
    """A folder to fill, which is gone after the block unless `keep_aside` named it.

    Args:
        parent: exists.
        what: what is written, for people.

    Raises:
        OutputError: the disk is full, or may not be written; any OSError of the block.
    """
    aside = parent / f".{os.getpid()}.{secrets.token_hex(8)}{_ASIDE}"
    try:
        aside.mkdir(mode=0o700)
        yield aside
    except OSError as error:
        raise output_error(error, Path(what)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def keep_aside(aside: Path, path: Path) -> bool:
    """Give a folder that was written aside its final name; False where another has that name already.

    Raises:
        OSError: it cannot be flushed or renamed.
    """
    for folder, _, names in os.walk(aside):
        for place in (*(Path(folder, name) for name in names), Path(folder)):
            flush(place)
    try:
        aside.rename(path)
    except OSError:
        if path.is_dir():
            return False
        raise
    flush(path.parent)
    return True


def remove_asides(folder: Path) -> None:
    """Remove what a killed process left half written."""
    for aside in folder.glob(f".*{_ASIDE}"):
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                aside.unlink()


def owner_folder(folder: Path, owner: str) -> Path:
    """The folder of all that belongs to one owner.

    Args:
        owner: as `mive.server.auth` has it; anything else is a mistake of the caller's, never a client's.
    """
    if not re.fullmatch(OWNER, owner):
        raise ValueError("an owner is the hash of a token, or a word")
    return folder / owner


def make_folder(folder: Path, what: str) -> None:
    """Make a folder for this user only.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise output_error(error, Path(what)) from error


def flush(path: Path) -> None:
    """Bring a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    left = memoryview(data).cast("B")
    while left:
        left = left[os.write(descriptor, left) :]
