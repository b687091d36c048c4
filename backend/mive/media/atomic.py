"""Writing that is whole or absent: temporary siblings, flushed, then renamed."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from mive.errors import OutputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def output_error(error: Exception, path: Path) -> OutputError:
    """A failed write, told by its cause."""
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
        try:
            for target in targets:
                _flush(self.folder / target.name)
            for target in targets:
                os.replace(self.folder / target.name, target)
            self.folder.rmdir()
            _flush(self._target.parent)
        except OSError as error:
            raise output_error(error, self._target) from error

    def commit_folder(self, target: Path) -> None:
        """Turn the staged folder into ``target``, which does not exist yet, in one step.

        Raises:
            OutputError: a file could not be flushed, or the folder not renamed.
        """
        try:
            for file in self.folder.iterdir():
                _flush(file)
            os.rename(self.folder, target)
            _flush(target.parent)
        except OSError as error:
            raise output_error(error, self._target) from error

    def discard(self) -> None:
        """Remove everything that was staged, and the parents made for it if still empty."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for place in reversed(self._made):
            try:
                place.rmdir()
            except OSError:
                break


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
