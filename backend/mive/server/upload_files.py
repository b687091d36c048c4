"""How uploads lie on the disk, so that they outlive the process.

::

    OWNER/ID              all the bytes, whose SHA-256 is ID
    OWNER/ID.part/SIZE    as many of the SIZE bytes as have arrived
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mive.base.atomic import flush
from mive.server.files import OWNER, owner_folder

BLOCK: Final = 4096
"""Bytes; every upload counts in whole blocks, as on the disk, so that a million tiny ones are not for free."""

_PART = ".part"
_SIZE = re.compile("[0-9]{1,19}")
_ID = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class UploadState:
    """How much of an upload has arrived.

    Attributes:
        size: bytes in all, as declared.
        received: bytes that have arrived, from the first on.
        complete: all have arrived and their hash is right.
    """

    upload_id: str
    size: int
    received: int
    complete: bool

    @property
    def charge(self) -> int:
        """Bytes that it counts: those that have arrived."""
        return charge_of(self.received) if self.size else 0


def charge_of(received: int) -> int:
    """What so many bytes count; an upload of which nothing has arrived takes a name and a folder."""
    return max(1, -(-received // BLOCK)) * BLOCK


class UploadFiles:
    """The files of all owners' uploads. Callers see to it that nobody else changes an upload at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, owner: str, upload_id: str) -> UploadState | None:
        """What is there of an upload."""
        # In this order: an upload that is completed meanwhile is found as one or the other.
        with contextlib.suppress(FileNotFoundError):
            for part in self._parts(owner, upload_id).iterdir():
                if _SIZE.fullmatch(part.name):
                    return UploadState(upload_id, int(part.name), part.stat().st_size, False)
        with contextlib.suppress(FileNotFoundError):
            size = self.whole(owner, upload_id).stat().st_size
            return UploadState(upload_id, size, size, True)
        return None

    def whole(self, owner: str, upload_id: str) -> Path:
        """The file of a complete upload."""
        return owner_folder(self.folder, owner) / upload_id

    def open_part(self, owner: str, state: UploadState) -> int:
        """A descriptor to read and write an unfinished upload by, which is made where there is none."""
        part = self._part(owner, state)
        part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(part, os.O_RDWR | os.O_CREAT, 0o600)

    def complete(self, owner: str, state: UploadState) -> None:
        """Give an upload, whose bytes are on the disk, its final name."""
        part, whole = self._part(owner, state), self.whole(owner, state.upload_id)
        part.replace(whole)
        try:
            flush(whole.parent)
        except OSError:
            whole.replace(part)
            raise
        with contextlib.suppress(OSError):
            part.parent.rmdir()

    def touch(self, owner: str, state: UploadState, now: float) -> None:
        """Take note that somebody asked for an upload."""
        place = self.whole(owner, state.upload_id) if state.complete else self._part(owner, state)
        with contextlib.suppress(OSError):
            os.utime(place, (now, now))

    def remove(self, owner: str, state: UploadState) -> None:
        """Remove an upload, and its owner's folder with the last one."""
        if state.complete:
            self.whole(owner, state.upload_id).unlink(missing_ok=True)
        else:
            shutil.rmtree(self._parts(owner, state.upload_id), ignore_errors=True)
        with contextlib.suppress(OSError):
            owner_folder(self.folder, owner).rmdir()

    def owners(self) -> list[str]:
        """All who have uploads. Whatever else lies in the folder is not ours."""
        return [entry.name for entry in os.scandir(self.folder) if re.fullmatch(OWNER, entry.name) and entry.is_dir()]

    def states(self, owner: str) -> Iterator[tuple[UploadState, float]]:
        """All uploads of an owner, and when somebody last asked for them or sent some of their bytes.

        An unfinished one of which a killed process left nothing has a size of 0.
        """
        folder = owner_folder(self.folder, owner)
        for entry in list(os.scandir(folder)) if folder.is_dir() else ():
            upload_id = entry.name.removesuffix(_PART)
            if not _ID.fullmatch(upload_id):
                continue
            state = self.find(owner, upload_id)
            place = folder / entry.name
            if state is None or (state.complete and entry.name.endswith(_PART)):
                state = UploadState(upload_id, 0, 0, False)
            elif not state.complete:
                place = self._part(owner, state)
            with contextlib.suppress(FileNotFoundError):
                yield state, place.stat().st_mtime

    def _part(self, owner: str, state: UploadState) -> Path:
        return self._parts(owner, state.upload_id) / str(state.size)

    def _parts(self, owner: str, upload_id: str) -> Path:
        return owner_folder(self.folder, owner) / f"{upload_id}{_PART}"
