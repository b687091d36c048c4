"""How many bytes each owner keeps on the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mive.server.errors import QuotaExceeded


class Quota:
    """Bytes by owner: measured on the disk once, then kept by those who write and remove.

    Args:
        most: bytes that one owner may keep; 0 is no limit.
        measure: counts an owner's bytes on the disk.
        what: what is counted, for people.
        fix: what its owner can do to have room.
    """

    def __init__(self, most: int, measure: Callable[[str], int], what: str, fix: str) -> None:
        self.most = most
        self._fix = fix
        self._measure = measure
        self._what = what
        self._used: dict[str, int] = {}
        self._lock = threading.Lock()

    def take(self, owner: str, size: int) -> None:
        """Count bytes that are about to be written.

        Raises:
            QuotaExceeded: they would be too many; none are counted.
        """
        with self._lock:
            self._check(owner, size)
            self._used[owner] = self._used_by(owner) + size

    def check(self, owner: str, size: int) -> None:
        """Refuse early what could never be taken as a whole; nothing is counted.

        Raises:
            QuotaExceeded: as `take`.
        """
        with self._lock:
            self._check(owner, size)

    def used(self, owner: str) -> int:
        """Bytes that the owner keeps."""
        with self._lock:
            return self._used_by(owner)

    def give_back(self, owner: str, size: int) -> None:
        """Count bytes no longer that are about to be removed, or were not written."""
        with self._lock:
            self._used[owner] = max(self._used_by(owner) - size, 0)

    def _check(self, owner: str, size: int) -> None:
        used = self._used_by(owner)
        if self.most and used + size > self.most:
            raise QuotaExceeded(
                f"{self._what} of this token take {used} bytes, and {size} more are asked for",
                expected=f"at most {self.most} bytes in all",
                fix=self._fix,
            )

    def _used_by(self, owner: str) -> int:
        if owner not in self._used:
            self._used[owner] = self._measure(owner)
        return self._used[owner]


class Claim:
    """What one operation takes from a quota, step by step, and gives back when it fails.

    Args:
        room: given the bytes that are to be written, raises where the disk has no room for them.
    """

    def __init__(self, quota: Quota, owner: str, room: Callable[[int], None]) -> None:
        self._quota = quota
        self._owner = owner
        self._room = room
        self._size = 0

    def take(self, size: int) -> None:
        """See `Quota.take`.

        Raises:
            OutputError: the disk has no room.
        """
        self._room(size)
        self._quota.take(self._owner, size)
        self._size += size

    def settle(self, size: int) -> None:
        """Count what was really written, headers and all, so that removing it gives back as much."""
        self._quota.give_back(self._owner, self._size - size)
        self._size = size

    def cancel(self) -> None:
        """Give everything back."""
        self.settle(0)
