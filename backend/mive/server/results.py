"""Finished frames on disk, one file each, until their room is needed.

A frame appears whole, as a ``.npy`` file named by its index in the clip, in a folder of its job.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mive.base.atomic import flush, output_errors, remove_asides, write_whole
from mive.media.hashing import hashed
from mive.media.raw import npy_parts
from mive.request import FrameRange
from mive.server.errors import ResultsGone
from mive.server.files import make_folder

DEFAULT_LIMIT = 64 * 2**30
"""Bytes; the frames of the least recently used finished jobs go first."""

_FLUSHED_AT_ONCE = 8
_FINISHED = "finished"
_REMOVED = ".removed"
_KEYS = ".keys"


class JobResults:
    """The frames of one job. Indices are those of the clip, from 0.

    Args:
        told: called whenever a frame can be read.
    """

    def __init__(self, folder: Path, told: Callable[[], None] = lambda: None) -> None:
        self.folder = folder
        self._told = told
        self._unflushed: list[Path] = []

    def write(self, index: int, frame: NDArray[np.generic]) -> None:
        """Store a frame [H, W, 3] in the clip's own depth; it appears whole or not at all.

        After a power cut it may be gone, unless `flush` came after it.

        Raises:
            OutputError: the disk is full, or may not be written.
        """
        make_folder(self.folder, "results")
        with output_errors(f"frame {index}"):
            write_whole(self.path(index), npy_parts(frame), durable=False)
        self._unflushed.append(self.path(index))
        self._told()

    def flush(self) -> None:
        """Bring all frames written so far to the disk; before anything is told that takes them for granted.

        Raises:
            OutputError: the disk is full, or may not be written.
        """
        written, self._unflushed = self._unflushed, []
        if written:
            # At once, because the disk takes about as long for all as for one.
            with output_errors("frames"), ThreadPoolExecutor(_FLUSHED_AT_ONCE) as threads:
                list(threads.map(flush, written))
                flush(self.folder)

    def read(self, index: int) -> NDArray[np.generic]:
        """A finished frame [H, W, 3], mapped from the disk rather than read; in any order, as soon as it is there.

        Raises:
            ResultsGone: it is not finished, or was removed to make room.
        """
        try:
            frame: NDArray[np.generic] = np.load(self.path(index), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ResultsGone(index) from error
        with contextlib.suppress(OSError):
            os.utime(self.folder)
        return frame

    def indices(self) -> list[int]:
        """The frames that can be read, ascending."""
        return sorted(int(path.stem) for path in self.folder.glob("*.npy") if re.fullmatch("[0-9]{8,10}", path.stem))

    def hash(self, frames: FrameRange) -> str:
        """SHA-256 (hex) over the pixels of all frames, the manifest's ``frames_hash``.

        Raises:
            ResultsGone: one is missing.
        """
        digest = hashlib.sha256()
        for _ in hashed(map(self.read, frames.indices()), digest):
            pass
        return digest.hexdigest()

    def finish(self, key: str, manifest: str) -> None:
        """All frames are there: from now on they may be removed to make room.

        Args:
            key: names the result by all that shapes it; "" where it is not to be used again.
            manifest: JSON of the manifest.

        Raises:
            OutputError: the disk is full, or may not be written.
        """
        remove_asides(self.folder)
        self.flush()
        with output_errors("results"):
            # All that it tells is in the job store, which comes next; a power cut in between costs the same edit again.
            write_whole(self.folder / _FINISHED, (f"{key}\n{manifest}".encode(),), durable=False)

    def finished(self) -> tuple[str, str] | None:
        """Key and manifest of a finished job; None where it is not finished, or its frames were removed."""
        try:
            key, _, manifest = (self.folder / _FINISHED).read_text("utf-8").partition("\n")
        except (OSError, UnicodeDecodeError):
            return None
        return key, manifest

    def clear(self) -> None:
        """Remove all frames, all at once for those who read, and what a killed process left half written."""
        self._unflushed.clear()
        remove_asides(self.folder)
        removed = self.folder.with_name(f"{self.folder.name}{_REMOVED}")
        shutil.rmtree(removed, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)

    def path(self, index: int) -> Path:
        """The file of a frame."""
        return self.folder / f"{index:08}.npy"


class Results:
    """The frames of all jobs.

    Args:
        folder: holds one folder per job.
        limit: bytes that finished jobs may keep, all together.
        told: called whenever a frame can be read.
    """

    def __init__(self, folder: Path, limit: int = DEFAULT_LIMIT, told: Callable[[], None] = lambda: None) -> None:
        self.folder = folder
        self.limit = limit
        self._told = told

    def of(self, job: str) -> JobResults:
        """The frames of a job, none so far for a new one."""
        return JobResults(self.folder / job, self._told)

    def publish(self, job: str, key: str, manifest: str) -> None:
        """A job is finished; see `JobResults.finish`.

        Raises:
            OutputError: the disk is full, or may not be written.
        """
        self.of(job).finish(key, manifest)
        if key:
            make_folder(self.folder / _KEYS, "results")
            self._name(key, job)

    def adopt(self, job: str, key: str) -> str | None:
        """Give a job the frames of a finished one with the same key, without copying them.

        Returns:
            That one's manifest, or None where there is no such result, or no longer.
        """
        try:
            holder = os.readlink(self.folder / _KEYS / key)
        # Nobody has finished it, and what the job itself has made before it was killed stays.
        except OSError:
            return None
        other, own = self.of(holder), self.of(job)
        kept = other.finished()
        if kept is None or kept[0] != key:
            return None
        if holder == job:
            # It was killed when all was done but told.
            return kept[1]
        own.clear()
        try:
            make_folder(own.folder, "results")
            for index in other.indices():
                os.link(other.path(index), own.path(index))
            os.utime(other.folder)
        # Another worker may be removing it.
        except OSError:
            own.clear()
            return None
        return kept[1]

    def _name(self, key: str, job: str) -> None:
        """A job holds the key from now on. A link is there or not, so nobody is killed while half of it is written."""
        name = self.folder / _KEYS / key
        with output_errors("results"):
            name.unlink(missing_ok=True)
            # Another worker may have finished the same just now.
            with contextlib.suppress(FileExistsError):
                name.symlink_to(job)

    def prune(self, keep: str | None = None) -> list[str]:
        """Remove finished jobs' frames, least recently read or written first, until the rest is within the limit.

        Args:
            keep: a job that is spared, because it has just finished.

        Returns:
            The jobs whose frames went.
        """
        found = []
        for place in self.folder.glob(f"*/{_FINISHED}"):
            # Another worker may be removing the same.
            with contextlib.suppress(OSError):
                folder = place.parent
                found.append((folder.stat().st_mtime, _size(folder), folder))
        total = sum(size for _, size, _ in found)
        gone = []
        for _, size, folder in sorted(found):
            if total <= self.limit:
                break
            if folder.name == keep or folder.name.endswith(_REMOVED):
                continue
            self.remove(folder.name)
            gone.append(folder.name)
            total -= size
        return gone

    def remove(self, job: str) -> None:
        """Remove a job's frames, finished or not."""
        kept = self.of(job).finished()
        if kept is not None and kept[0]:
            (self.folder / _KEYS / kept[0]).unlink(missing_ok=True)
        self.of(job).clear()


def _size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(folder))
