"""Where the script ``mive-server`` begins: says what is missing before anything needs it."""

from __future__ import annotations

from mive.console.ending import say_failure
from mive.console.needs import require_server
from mive.errors import MiveError


def main() -> int:
    """Run ``mive-server`` with the process's arguments and return its exit code."""
    try:
        require_server()
    except MiveError as error:
        return say_failure(error)
    from mive.server.main import main as run

    return run()
