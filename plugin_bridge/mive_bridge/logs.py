"""The bridge's log: a file in its folder that never grows large, without captions and paths."""

from __future__ import annotations

import logging
import logging.handlers
import os
from pathlib import Path
from typing import Final

from mive_bridge.files import private_folder

_BYTES: Final = 2 << 20
_KEPT: Final = 2


def log_path(folder: Path) -> Path:
    """Where it is, in the bridge's folder."""
    return folder / "bridge.log"


def set_up_logging(folder: Path) -> None:
    """Makes this process log there; ``MIVE_BRIDGE_LOG=debug`` lets captions and paths show.

    Raises:
        OSError: the file cannot be written.
    """
    # Here, for it takes long to load. The server's lines keep discreet what other packages say.
    from mive.server.logs import Lines

    debug = os.environ.get("MIVE_BRIDGE_LOG") == "debug"
    private_folder(folder)
    handler = logging.handlers.RotatingFileHandler(
        log_path(folder), maxBytes=_BYTES, backupCount=_KEPT, encoding="utf-8"
    )
    handler.setFormatter(Lines(as_json=False, debug=debug, worker=f"{os.getpid()}"))
    logging.getLogger().handlers[:] = [handler]
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("mive").setLevel(logging.DEBUG if debug else logging.INFO)
