"""Shared memory that a plugin made, checked so that nobody can make it shorter under the bridge's hands."""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from mive_bridge.images import PAGE, Format, Image, whole_pages
from mive_bridge.messages import Refused

MOST_BYTES: Final = 2 << 30

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_STAMP: Final = struct.Struct("<8sQ32sQ")
_MAGIC: Final = b"MIVEDONE"


class Region:
    """The memory of one connection. It goes when neither this nor an image in it is held any longer.

    Args:
        descriptor: stays the caller's to close.
        size: bytes, as the plugin says.

    Raises:
        Refused: it is of another size, too large, or not sealed.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        try:
            seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        except OSError:
            raise Refused("What came with the request is no memory that can be sealed.") from None
        if seals & _SEALS != _SEALS:
            raise Refused("The size of the memory is not sealed.")
        if os.fstat(descriptor).st_size != size or not PAGE <= size <= MOST_BYTES:
            raise Refused(f"The memory is not of the size that the request says, or above {MOST_BYTES} bytes.")
        try:
            self._memory = mmap.mmap(descriptor, size)
        except OSError as error:
            raise Refused(f"The memory cannot be used: {error.strerror}.") from None

    def images(self, formats: Iterable[Format]) -> Iterator[Image]:
        """The images that lie in it in this order; views, not copies.

        Raises:
            Refused: it is too small for them.
        """
        at = PAGE
        for form in formats:
            if at + form.bytes > len(self._memory):
                raise Refused("The memory is too small for the images.")
            count = math.prod(form.shape)
            yield np.frombuffer(self._memory, form.dtype, count, at).reshape(form.shape)
            at += whole_pages(form.bytes)

    def stamp(self, request: int, key: str, size: int) -> None:
        """Says that the frame of that key, ``size`` bytes, is complete."""
        stamp = _STAMP.pack(_MAGIC, request, bytes.fromhex(key), size)
        self._memory[: len(stamp)] = stamp
