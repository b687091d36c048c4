"""The bridge's log: a file in its folder that never grows large, without captions and paths."""

from __future__ import annotations

import logging
import logging.handlers
import os
from pathlib import Path
from typing import Final

from mive.errors import OutputError
from mive_bridge.files import private_folder

_BYTES: Final = 2 << 20
_KEPT: Final = 2


def log_path(folder: Path) -> Path:
    """Where it is, in the bridge's folder."""
    return folder / "bridge.log"


def set_up_logging(folder: Path) -> None:
    """Makes this process log there; ``MIVE_BRIDGE_LOG=debug`` lets captions and paths show.

    Raises:
        OutputError: the file cannot be written.
    """
    # After what reads it: the server's formatter knows how to keep other packages' messages discreet.
    from mive.server.logs import Lines

    debug = os.environ.get("MIVE_BRIDGE_LOG") == "debug"
    try:
        private_folder(folder)
        handler = logging.handlers.RotatingFileHandler(
            log_path(folder), maxBytes=_BYTES, backupCount=_KEPT, encoding="utf-8"
        )
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be used: {error.strerror}",
            expected="a folder that may be written",
            fix="Set MIVE_CACHE to one",
        ) from error
    handler.setFormatter(Lines(as_json=False, debug=debug, worker=f"{os.getpid()}"))
    logging.getLogger().handlers[:] = [handler]
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("mive").setLevel(logging.DEBUG if debug else logging.INFO)
