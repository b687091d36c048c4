"""Files and folders that are whole or absent: written aside, flushed where they must outlive a power cut, renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from mive.errors import OutputError

ASIDE: Final = ".part"
"""What a killed process left half written begins with a dot and ends with this."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def output_error(error: Exception, path: Path | str) -> OutputError:
    """A failed write, told by its cause.

    Args:
        path: or words for what was written, where its path is none of the reader's business.
    """
    number = getattr(error, "errno", None)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if number in _FULL:
        return OutputError(
            f"There is no space left to write {path} ({reason})",
            expected="room for the whole result",
            fix="Free some space or write to another disk; nothing partial was left behind",
        )
    if number in _FORBIDDEN:
        return OutputError(
            f"Writing {path} is not allowed ({reason})",
            expected="a folder that you may write to",
            fix="Choose another output or change the folder's permissions",
        )
    return OutputError(
        f"Cannot write {path}: {reason}",
        expected="a writable output",
        fix="Choose another output, or another codec by its suffix",
    )


@contextlib.contextmanager
def output_errors(path: Path | str) -> Iterator[None]:
    """Tells what the system refuses in the block as an `OutputError`; see `output_error`."""
    try:
        yield
    except OSError as error:
        raise output_error(error, path) from error


@contextlib.contextmanager
def file_aside(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A path to write a file to, which gets its own name when the block ends well and is gone otherwise.

    Args:
        path: its folder exists.
        durable: the file is whole after a power cut too, which takes the time of the disk.

    Raises:
        OSError: the disk is full, or may not be written.
    """
    aside = _beside(path)
    try:
        yield aside
        if durable:
            flush(aside)
        aside.replace(path)
        if durable:
            flush(path.parent)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def write_whole(path: Path, parts: Iterable[bytes | bytearray | memoryview], *, durable: bool = True) -> None:
    """Write a file of these parts; see `file_aside`.

    Raises:
        OSError: the disk is full, or may not be written.
    """
    with file_aside(path, durable=durable) as aside, aside.open("wb", buffering=0) as file:
        for part in parts:
            _write_all(file.fileno(), part)


def write_text(path: Path, text: str) -> None:
    """Write a text file; its folder is made.

    Raises:
        OutputError: it cannot be written.
    """
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, (text.encode(),))


@contextlib.contextmanager
def folder_aside(parent: Path) -> Iterator[Path]:
    """A folder for this user to fill, which is gone after the block unless `keep_aside` named it.

    Args:
        parent: exists.

    Raises:
        OSError: it cannot be made.
    """
    aside = _beside(parent / "folder")
    try:
        aside.mkdir(mode=0o700)
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def keep_aside(aside: Path, path: Path, *, durable: bool = True, each: Callable[[], None] = lambda: None) -> bool:
    """Give a folder that was written aside its final name; False where another has that name already.

    Args:
        durable: as for `file_aside`.
        each: called before each file is flushed; it raises to give up.

    Raises:
        OSError: it cannot be flushed or renamed.
    """
    if durable:
        for folder, _, names in os.walk(aside):
            for place in (*(Path(folder, name) for name in names), Path(folder)):
                each()
                flush(place)
    try:
        aside.rename(path)
    except OSError:
        if path.is_dir():
            return False
        raise
    if durable:
        flush(path.parent)
    return True


def remove_asides(folder: Path, seconds: float = 0.0) -> None:
    """Remove what a killed process left half written.

    Args:
        seconds: how old it must be, where other processes may be writing.
    """
    for aside in folder.glob(f".*{ASIDE}"):
        with contextlib.suppress(OSError):
            if seconds and aside.stat().st_mtime > time.time() - seconds:
                continue
            if aside.is_dir():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.unlink()


class Staging:
    """A hidden folder beside the target, in which results grow until they are complete.

    Missing parent folders are made, and taken away again if nothing is committed.

    Raises:
        OutputError: the place cannot be written to.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._made: list[Path] = []
        self.folder = target.parent / f".{target.name[:40]}.{secrets.token_hex(4)}.partial"
        try:
            self._make_parents(target.parent)
            self.folder.mkdir()
        except OSError as error:
            self.discard()
            raise output_error(error, target) from error

    def _make_parents(self, folder: Path) -> None:
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        for place in reversed(missing):
            place.mkdir()
            self._made.append(place)

    def commit(self, targets: Sequence[Path]) -> None:
        """Move the staged files, named as their targets, to where they belong.

        Raises:
            OutputError: a file could not be flushed or moved.
        """
        with output_errors(self._target):
            for target in targets:
                flush(self.folder / target.name)
            for target in targets:
                os.replace(self.folder / target.name, target)
            self.folder.rmdir()
            flush(self._target.parent)

    def commit_folder(self, target: Path) -> None:
        """Turn the staged folder into ``target``, which does not exist yet, in one step.

        Raises:
            OutputError: a file could not be flushed, or the folder not renamed.
        """
        with output_errors(self._target):
            for file in self.folder.iterdir():
                flush(file)
            os.rename(self.folder, target)
            flush(target.parent)

    def discard(self) -> None:
        """Remove everything that was staged, and the parents made for it if still empty."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for place in reversed(self._made):
            try:
                place.rmdir()
            except OSError:
                break


def flush(path: Path) -> None:
    """Bring a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name[:40]}.{os.getpid()}.{secrets.token_hex(4)}{ASIDE}")


def _write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    left = memoryview(data).cast("B")
    while left:
        left = left[os.write(descriptor, left) :]
