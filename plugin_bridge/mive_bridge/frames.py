"""Edited frames on disk: as many as fit under a limit, the longest unused go first.

A file holds one frame: a page with its facts as JSON, then what is edited and a margin around it, ``[h, w, 4]`` as
:func:`mive_bridge.pixels.with_mask` makes it. Its name is the hash of all that the frame was made from, so that it is
never wrong, and never has to be written again.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from mive.base.atomic import remove_asides, write_whole
from mive_bridge.files import age_of, private_folder, size_of
from mive_bridge.images import PAGE, Format, Image
from mive_bridge.messages import Refused
from mive_bridge.pixels import Box, Mask, box_of, fitted, with_mask

if TYPE_CHECKING:
    from mive.media.info import Pixels

_SUFFIX: Final = ".frame"
_BUFFERS: Final = 1024
"""As many as one preadv takes."""

_USE_SECONDS: Final = 60.0
"""How exactly the last use is known."""

_WRITING_SECONDS: Final = 600.0
"""Longer than it takes to write one frame."""


@dataclass(frozen=True)
class Facts:
    """What is known about a frame without its pixels.

    Attributes:
        format: of the whole frame, RGBA.
        box: where the pixels that are kept lie in it.
        source: print of the source.
    """

    format: Format
    box: Box
    source: str

    @property
    def part(self) -> tuple[int, int, int]:
        """Shape of the pixels that are kept."""
        left, top, right, bottom = self.box
        return (bottom - top, right - left, 4)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return PAGE + int(np.prod(self.part)) * self.format.dtype.itemsize

    def to_page(self) -> bytes:
        text = json.dumps({"format": str(self.format), "box": self.box, "source": self.source})
        return text.encode().ljust(PAGE)

    @classmethod
    def from_page(cls, page: bytes) -> Self:
        """What :meth:`to_page` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            facts = json.loads(page)
            left, top, right, bottom = map(int, facts["box"])
            form = Format.parse(facts["format"])
        except (KeyError, TypeError, Refused) as error:
            raise ValueError("a damaged frame") from error
        if not (0 <= left <= right <= form.width and 0 <= top <= bottom <= form.height):
            raise ValueError("a damaged frame")
        return cls(form, (left, top, right, bottom), str(facts["source"]))


class FrameCache:
    """All frames of all edits; threads may use it at once.

    Args:
        folder: is made.
        limit: bytes to keep at most, besides the newest frame.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        private_folder(folder)
        # Bridges of other sessions write here too.
        remove_asides(folder, _WRITING_SECONDS)
        self.folder = folder
        self.limit = limit
        self._lock = threading.Lock()
        found = sorted(folder.glob(f"*{_SUFFIX}"), key=age_of)
        self._sizes = OrderedDict((path.stem, size_of(path)) for path in found)
        self._used = dict.fromkeys(self._sizes, 0.0)
        self._total = sum(self._sizes.values())
        # The limit may be lower than it was.
        self._make_room()

    def __contains__(self, name: str) -> bool:
        return name in self._sizes

    @property
    def bytes(self) -> int:
        """Bytes of all frames."""
        return self._total

    def save(self, name: str, colour: Pixels, mask: Mask, form: Format, source: str) -> None:
        """Keeps a frame; it appears whole or not at all.

        Args:
            colour: ``[H, W, 3]`` in the type of ``form``, which is RGBA.
            mask: what is edited.
            source: print of the source.

        Raises:
            OSError: the disk is full, or may not be written.
        """
        facts = Facts(form, box_of(mask), source)
        left, top, right, bottom = facts.box
        part = with_mask(colour[top:bottom, left:right], mask[top:bottom, left:right])
        write_whole(self._path(name), (facts.to_page(), part.data.cast("B") if part.size else b""))
        with self._lock:
            self._total += facts.size - self._sizes.pop(name, 0)
            self._sizes[name] = facts.size
            self._used[name] = time.monotonic()
            self._make_room()

    def facts(self, name: str) -> Facts | None:
        """What is known about a frame; None where it is not kept.

        Raises:
            OSError: it cannot be read now.
        """
        try:
            with self._path(name).open("rb", buffering=0) as file:
                return _checked(file)
        except (FileNotFoundError, ValueError):
            self._drop(name)
            return None

    def copy(self, name: str, target: Image, wanted: Format) -> bool:
        """Writes a frame to ``target``, which is of the format ``wanted``; False where it is not kept.

        Raises:
            OSError: it cannot be read now.
        """
        try:
            with self._path(name).open("rb", buffering=0) as file:
                facts = _checked(file)
                if facts.format == wanted:
                    _read_into(file.fileno(), facts, target)
                else:
                    part = np.empty(facts.part, facts.format.dtype)
                    _read_rows(file.fileno(), part)
                    target[...] = fitted(part, facts.box, facts.format, wanted)
        except (FileNotFoundError, ValueError):
            self._drop(name)
            return False
        self._touch(name)
        return True

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{_SUFFIX}"

    def _touch(self, name: str) -> None:
        now = time.monotonic()
        with self._lock:
            if name not in self._sizes:
                return
            self._sizes.move_to_end(name)
            if now < self._used[name] + _USE_SECONDS:
                return
            self._used[name] = now
        # For the next process.
        with contextlib.suppress(OSError):
            os.utime(self._path(name))

    def _drop(self, name: str) -> None:
        """It is gone, or was damaged by someone else."""
        with self._lock:
            self._forget(name)

    def _make_room(self) -> None:
        while self._total > self.limit and len(self._sizes) > 1:
            self._forget(next(iter(self._sizes)))

    def _forget(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)
        self._total -= self._sizes.pop(name, 0)
        self._used.pop(name, None)


def _checked(file: FileIO) -> Facts:
    """The facts of a file that is as long as they say.

    Raises:
        ValueError: it is not.
    """
    facts = Facts.from_page(file.read(PAGE))
    if os.fstat(file.fileno()).st_size != facts.size:
        raise ValueError("a damaged frame")
    return facts


def _read_into(descriptor: int, facts: Facts, target: Image) -> None:
    """Reads a frame that is not to be changed; what is not kept of it is 0."""
    left, top, right, bottom = facts.box
    target[:top], target[bottom:] = 0, 0
    target[top:bottom, :left], target[top:bottom, right:] = 0, 0
    _read_rows(descriptor, target[top:bottom, left:right])


def _read_rows(descriptor: int, part: Image) -> None:
    """Reads the pixels of a frame straight to where they belong.

    Raises:
        ValueError: there are too few.
    """
    whole = part.flags.c_contiguous
    rows = [part.data.cast("B")] if whole and part.size else [row.data.cast("B") for row in part if row.size]
    at = PAGE
    for first in range(0, len(rows), _BUFFERS):
        some = rows[first : first + _BUFFERS]
        count = sum(map(len, some))
        if os.preadv(descriptor, some, at) != count:
            raise ValueError("a damaged frame")
        at += count
