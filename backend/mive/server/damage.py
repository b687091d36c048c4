"""What clients' files make the libraries that read them say."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from mive.errors import MediaError, MiveError

log = logging.getLogger(__name__)


@contextlib.contextmanager
def damage_told() -> Iterator[None]:
    """Turn what nobody foresaw while files are opened and read into a `MediaError`.

    Damaged files make FFmpeg's, OpenImageIO's and NumPy's bindings raise whatever their authors did not think of. That
    is the client's to mend, and only the log tells where it happened.
    """
    try:
        yield
    except (MiveError, MemoryError):
        raise
    except Exception as error:
        log.exception("a client's file could not be read")
        raise MediaError(
            f"a file of the clip or the mattes cannot be read: {type(error).__name__}",
            expected="whole files in a format that MIVE reads",
            fix="Check that they open in other programs, and export them again",
        ) from error
