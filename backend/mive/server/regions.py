"""Shared memory for clients on the same machine.

POSIX shared memory, made by the server under random names, for its own user only. A client maps a region; the server
never does where a client could shrink it, since reading a mapping whose memory is gone would kill it with SIGBUS. It
reads and writes through the descriptor, which gives an error instead and costs little: 4 to 6 GB/s for frames of 100 MB
where a copy within memory makes 12 to 15 GB/s (Linux 6, x86). On macOS shared memory can only be mapped, but there a
region has the size that it was first given for ever.

`multiprocessing.shared_memory` always maps and has a second process unlink what is still open, so its lower half,
`_posixshmem`, is used alone: ``shm_open`` and ``shm_unlink`` with the C library's calling conventions.
"""

from __future__ import annotations

import _posixshmem  # type: ignore[import-not-found]
import contextlib
import fcntl
import mmap
import os
import re
import secrets
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from mive.errors import OutputError, RequestError
from mive.server.errors import NoSharedMemory, QuotaExceeded, RegionNotFound
from mive.server.files import make_folder
from mive.v1 import media_pb2
from mive.wire.formats import Data

_NAME: Final = re.compile(r"mive-[0-9a-f]{24}")
"""With the leading "/" one character less than macOS allows."""


@dataclass(frozen=True)
class Region:
    """A region as its client learns of it.

    Attributes:
        region_id: names it in requests.
        name: to open it by; a secret, in no error and no log.
        size: bytes.
    """

    region_id: str
    name: str = field(repr=False)
    size: int


@dataclass(frozen=True)
class _Open:
    """A region, the descriptor of its memory, and that of its locked file in the folder."""

    owner: str
    region: Region
    memory: int
    record: int


class Regions:
    """The open regions of all owners; threads may use it at once.

    Args:
        folder: holds a file for every open region, locked by its server, so that a server that starts can remove
            what a killed one left; is made.
        limit_bytes: of one region at most; 0 turns shared memory off.
        owner_regions: of one owner at most.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, folder: Path, *, limit_bytes: int, owner_regions: int) -> None:
        make_folder(folder, "the regions' folder")
        self.limit_bytes = limit_bytes
        self.owner_regions = owner_regions
        self._folder = folder
        self._open: dict[str, _Open] = {}
        self._opening: list[str] = []
        self._lock = threading.Lock()
        self._remove_left()

    def open(self, owner: str, size: int) -> Region:
        """Make a region of zeros, whose memory is there from now on.

        Raises:
            NoSharedMemory: it is off.
            RequestError: the size is not allowed.
            QuotaExceeded: the owner has too many regions.
            OutputError: there is not enough memory.
        """
        if not self.limit_bytes:
            raise NoSharedMemory
        if not 1 <= size <= self.limit_bytes:
            expected, fix = f"1 to {self.limit_bytes} bytes", "Open a smaller region, and use it again for every frame"
            raise RequestError(f"a region of {size} bytes", expected=expected, fix=fix, field="size")
        with self._lock:
            owners = [*self._opening, *(each.owner for each in self._open.values())]
            if owners.count(owner) >= self.owner_regions:
                raise QuotaExceeded(
                    f"{self.owner_regions} regions of this token are open",
                    expected="fewer",
                    fix="Close one, or use one again: a region is free when the call that names it has ended",
                )
            self._opening.append(owner)
        try:
            opened = _Open(owner, *self._make(size))
            self._open[opened.region.region_id] = opened
        finally:
            self._opening.remove(owner)
        return opened.region

    def close(self, owner: str, region_id: str) -> None:
        """Remove a region. Calls that are reading or writing it still end well.

        Raises:
            RegionNotFound: the owner has none of that id.
        """
        with self._lock:
            opened = self._find(owner, region_id, "region_id")
            del self._open[region_id]
        self._remove(opened)

    def close_all(self) -> None:
        """Remove all regions."""
        with self._lock:
            left = list(self._open.values())
            self._open.clear()
        for opened in left:
            self._remove(opened)

    def check(self, owner: str, place: media_pb2.RegionSlice, at: str = "region") -> None:
        """Refuses a slice that is not within a region of the owner.

        Args:
            at: path of the slice in the request.

        Raises:
            RegionNotFound: the owner has no such region.
            RequestError: the slice is empty or goes beyond the region's end.
        """
        with self._lock:
            size = self._find(owner, place.region_id, f"{at}.region_id").region.size
        if not 1 <= place.size <= size:
            raise _outside(f"{at}.size", f"{place.size} bytes", f"1 to {size} bytes, the size of the region")
        if place.offset > size - place.size:
            expected = f"an offset of at most {size - place.size}"
            raise _outside(f"{at}.offset", f"{place.size} bytes at {place.offset} end beyond the region", expected)

    def read(self, owner: str, place: media_pb2.RegionSlice, at: str = "region") -> memoryview:
        """A copy of a slice, which the client can no longer change.

        Raises:
            RegionNotFound, RequestError: as `check`; RequestError also where the client has shrunk the region.
        """
        self.check(owner, place, at)
        # numpy's memory is not filled with zeros first.
        data = np.empty(place.size, np.uint8).data
        with self._memory(owner, place, at) as memory:
            try:
                whole = _read(memory, place.offset, data)
            except (OSError, ValueError):
                whole = False
        if not whole:
            raise _outside(at, "the region has been shrunk", "all the memory that it was opened with")
        return data

    def write(self, owner: str, place: media_pb2.RegionSlice, data: Data, at: str = "into") -> None:
        """Copy bytes to the start of a slice, which has room for them.

        Raises:
            RegionNotFound, RequestError: as `check`; RequestError also where the slice is too small.
            OutputError: there is no memory left; only where the client has shrunk the region.
        """
        self.check(owner, place, at)
        view = memoryview(data).cast("B")
        if len(view) > place.size:
            raise _outside(f"{at}.size", f"{place.size} bytes for {len(view)}", f"{len(view)} bytes or more")
        with self._memory(owner, place, at) as memory:
            try:
                _write(memory, place.offset, view)
                return
            except (OSError, ValueError):
                pass
        raise _no_memory(len(view))

    def _make(self, size: int) -> tuple[Region, int, int]:
        name = f"mive-{secrets.token_hex(12)}"
        record = memory = -1
        # Errors of the system name the region, so they are never anyone's cause or context.
        with contextlib.suppress(OSError):
            record = os.open(self._folder / name, os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
            memory = _posixshmem.shm_open(f"/{name}", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            os.ftruncate(memory, size)
            # Without it the client would be killed at the page that no longer fits.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(memory, 0, size)
            return Region(secrets.token_hex(16), f"/{name}", size), memory, record
        self._remove_name(name)
        for descriptor in (memory, record):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        raise _no_memory(size)

    def _find(self, owner: str, region_id: str, at: str) -> _Open:
        opened = self._open.get(region_id)
        if opened is None or opened.owner != owner:
            raise RegionNotFound(at)
        return opened

    @contextlib.contextmanager
    def _memory(self, owner: str, place: media_pb2.RegionSlice, at: str) -> Iterator[int]:
        """A descriptor that closing the region leaves open."""
        with self._lock:
            memory = os.dup(self._find(owner, place.region_id, f"{at}.region_id").memory)
        try:
            yield memory
        finally:
            os.close(memory)

    def _remove(self, opened: _Open) -> None:
        self._remove_name(opened.region.name.removeprefix("/"))
        os.close(opened.memory)
        os.close(opened.record)

    def _remove_name(self, name: str) -> None:
        with contextlib.suppress(OSError):
            _posixshmem.shm_unlink(f"/{name}")
        with contextlib.suppress(OSError):
            (self._folder / name).unlink(missing_ok=True)

    def _remove_left(self) -> None:
        """Removes the regions whose server no longer holds its lock on their files."""
        for path in self._folder.iterdir():
            if not _NAME.fullmatch(path.name):
                continue
            with contextlib.suppress(OSError):
                record = os.open(path, os.O_RDONLY)
                try:
                    fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._remove_name(path.name)
                finally:
                    os.close(record)


def _read_descriptor(memory: int, offset: int, into: memoryview) -> bool:
    """Fills ``into``, and tells whether there was enough."""
    while into:
        count = os.preadv(memory, [into], offset)
        if not count:
            return False
        into, offset = into[count:], offset + count
    return True


def _write_descriptor(memory: int, offset: int, data: memoryview) -> None:
    while data:
        count = os.pwrite(memory, data, offset)
        data, offset = data[count:], offset + count


def _read_mapping(memory: int, offset: int, into: memoryview) -> bool:
    with mmap.mmap(memory, offset + len(into), access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
        into[:] = view[offset:]
    return True


def _write_mapping(memory: int, offset: int, data: memoryview) -> None:
    with mmap.mmap(memory, offset + len(data)) as mapped, memoryview(mapped) as view:
        view[offset:] = data


_MAPPED: Final = sys.platform == "darwin"
_read = _read_mapping if _MAPPED else _read_descriptor
_write = _write_mapping if _MAPPED else _write_descriptor


def _outside(field: str, what: str, expected: str) -> RequestError:
    return RequestError(what, expected=expected, fix="Correct the slice, or open a larger region", field=field)


def _no_memory(size: int) -> OutputError:
    return OutputError(
        f"there is no shared memory left for {size} bytes",
        expected="enough free shared memory",
        fix="Close other regions, or send bytes instead; a container needs a larger /dev/shm (--shm-size)",
    )
