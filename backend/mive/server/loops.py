"""Loops that go on whatever one round of them meets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterator
from typing import Any

from mive.errors import MiveError

log = logging.getLogger(__name__)


@contextlib.contextmanager
def going_on(what: str) -> Iterator[None]:
    """Tell the log what went wrong in the block, and go on: the next round may find it mended.

    Args:
        what: could not be done.
    """
    try:
        yield
    except (MiveError, OSError) as error:
        log.error("%s: %s", what, error)
    # A row or a file that nobody foresaw; it must not be what ends a loop.
    except Exception:
        log.exception("%s", what)


async def first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of them has come; the others are no longer waited for."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
