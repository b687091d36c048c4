"""How the process that answers clients keeps its memory."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
"""Of glibc's mallopt(3)."""

_LARGEST: Final = 32 << 20
"""The largest that glibc takes from its heap: a float frame of 1920 × 1080 has 25 MB, a chunk 1 MiB."""

_KEPT: Final = 64 << 20


def keep_buffers() -> None:
    """Have buffers as large as frames and chunks used again.

    Else glibc asks the system for each, which fills it with zeros page by page, and gives it back at once. Does nothing
    elsewhere.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_M_MMAP_THRESHOLD, _LARGEST)
            mallopt(_M_TRIM_THRESHOLD, _KEPT)
