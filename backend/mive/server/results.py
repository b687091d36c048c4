"""Finished frames on disk, one file each, until their room is needed.

A frame appears whole, as a ``.npy`` file named by its index in the clip, in a folder of its job.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mive.request import FrameRange
from mive.server.errors import ResultsGone
from mive.server.files import make_folder, remove_asides, write_whole

DEFAULT_LIMIT = 64 * 2**30
"""Bytes; the frames of the least recently used finished jobs go first."""

_FINISHED = "finished"
_REMOVED = ".removed"


class JobResults:
    """The frames of one job. Indices are those of the clip, from 0."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, index: int, frame: NDArray[np.generic]) -> None:
        """Store a frame [H, W, 3] in the clip's own depth; it appears whole or not at all.

        Raises:
            OutputError: the disk is full, or may not be written.
        """
        make_folder(self.folder, "results")
        pixels = np.ascontiguousarray(frame)
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(pixels))
        write_whole(self._path(index), (head.getvalue(), pixels.data), f"frame {index}")

    def read(self, index: int) -> NDArray[np.generic]:
        """A finished frame [H, W, 3], mapped from the disk rather than read; in any order, as soon as it is there.

        Raises:
            ResultsGone: it is not finished, or was removed to make room.
        """
        try:
            frame: NDArray[np.generic] = np.load(self._path(index), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ResultsGone(index) from error
        with contextlib.suppress(OSError):
            os.utime(self.folder)
        return frame

    def indices(self) -> list[int]:
        """The frames that can be read, ascending."""
        return sorted(int(path.stem) for path in self.folder.glob("*.npy") if path.stem.isdigit())

    def hash(self, frames: FrameRange) -> str:
        """SHA-256 (hex) over the pixels of all frames, the manifest's ``frames_hash``.

        Raises:
            ResultsGone: one is missing.
        """
        digest = hashlib.sha256()
        for index in frames.indices():
            digest.update(np.ascontiguousarray(self.read(index)).data)
        return digest.hexdigest()

    def finish(self) -> None:
        """All frames are there: from now on they may be removed to make room.

        Raises:
            OutputError: the disk is full, or may not be written.
        """
        remove_asides(self.folder)
        write_whole(self.folder / _FINISHED, (), "results")

    def clear(self) -> None:
        """Remove all frames, all at once for those who read, and what a killed process left half written."""
        remove_asides(self.folder)
        removed = self.folder.with_name(f"{self.folder.name}{_REMOVED}")
        shutil.rmtree(removed, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:08}.npy"


class Results:
    """The frames of all jobs.

    Args:
        folder: holds one folder per job.
        limit: bytes that finished jobs may keep, all together.
    """

    def __init__(self, folder: Path, limit: int = DEFAULT_LIMIT) -> None:
        self.folder = folder
        self.limit = limit

    def of(self, job: str) -> JobResults:
        """The frames of a job, none so far for a new one."""
        return JobResults(self.folder / job)

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
            JobResults(folder).clear()
            gone.append(folder.name)
            total -= size
        return gone


def _size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(folder))
