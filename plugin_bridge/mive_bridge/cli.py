"""The program ``mive-bridge``."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from mive import __version__
from mive.base.places import socket_path
from mive.console.ending import say_failure
from mive.errors import MiveError, OutputError
from mive_bridge.place import Place, Served

_STARTED: Final = b"."
_MOST_DESCRIPTORS: Final = 65536


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit code: 0 also where another bridge serves the socket.

    Args:
        arguments: without the program's name; by default the process's own.
    """
    parser = argparse.ArgumentParser(
        "mive-bridge", description="The process between MIVE's OpenFX plugin and a render server. docs/how-to/bridge.md"
    )
    parser.add_argument("--detach", action="store_true", help="run in the background; return when the socket listens")
    parser.add_argument("--doctor", action="store_true", help="say what works and what does not; exit code 1 if not")
    parser.add_argument("--version", action="version", version=f"mive {__version__}")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.doctor:
            from mive_bridge.doctor import doctor

            return doctor()
        return _detached() if chosen.detach else _serve(lambda: None)
    except MiveError as error:
        return say_failure(error)


def _serve(listening: Callable[[], None]) -> int:
    os.umask(0o077)
    path = socket_path().absolute()
    try:
        place = Place(path)
    except Served:
        return 0
    # What takes time to load comes after: plugins can connect already.
    import asyncio
    import logging

    from mive_bridge.logs import set_up_logging
    from mive_bridge.settings import Settings, cache_folder

    folder = cache_folder()
    settings = Settings.load()
    try:
        set_up_logging(folder)
        from mive_bridge.bridge import Bridge

        bridge = Bridge(place, settings, folder)
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder} cannot be used: {error.strerror or error}",
            expected="a folder that may be written",
            fix="Free some space, or set MIVE_CACHE to another folder",
        ) from error
    listening()
    try:
        asyncio.run(bridge.serve())
    except Exception:
        logging.getLogger("mive.bridge").exception("unexpected error")
        return 1
    return 0


def _detached() -> int:
    """Leaves a process behind that serves, and returns when it does."""
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        if os.read(reading, 1) == _STARTED:
            return 0
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    # No end of this process may run the parent's code.
    code = 1
    try:
        os.setsid()
        os.close(reading)
        _let_go(writing)
        code = _serve(lambda: _say_started(writing))
    except MiveError as error:
        code = error.exit_code
    finally:
        os._exit(code)


def _say_started(writing: int) -> None:
    os.chdir("/")
    with contextlib.suppress(BrokenPipeError):
        os.write(writing, _STARTED)
    os.close(writing)


def _let_go(kept: int) -> None:
    """Closes what the host left open."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.closerange(3, kept)
    os.closerange(kept + 1, min(os.sysconf("SC_OPEN_MAX"), _MOST_DESCRIPTORS))


if __name__ == "__main__":
    sys.exit(main())
