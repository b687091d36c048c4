"""Where MIVE keeps its files."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache() -> Path:
    """``$MIVE_CACHE``, else ``mive`` in the user's cache folder."""
    if chosen := os.environ.get("MIVE_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mive"
