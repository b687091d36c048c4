"""Where the files of MIVE's programs are, by what the user set and the XDG Base Directory Specification."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache() -> Path:
    """``$MIVE_CACHE``, else ``mive`` in the user's cache folder."""
    if chosen := os.environ.get("MIVE_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mive"


def config_folder() -> Path:
    """The user's folder of configuration, of all programs."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def socket_path() -> Path:
    """Where plugin and bridge meet (plugin_bridge/LINK.md).

    ``$MIVE_BRIDGE_SOCKET``, else in the user's runtime folder, else in a folder of the user's in ``/tmp``.
    """
    if chosen := os.environ.get("MIVE_BRIDGE_SOCKET"):
        return Path(chosen)
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "mive" / "bridge.sock"
    return Path(f"/tmp/mive-{os.geteuid()}/bridge.sock")
