"""What is being read at this moment, for those who watch over files that never answer.

A disk on a network, or a decoder that turns in circles, holds its thread for ever, and nothing in Python ends that. So
everything that asks a client's file for something says so; who waits for the result can see for how long it has.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

_now: dict[int, tuple[str, float]] = {}
"""By thread: the file, and since when."""


@contextlib.contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Inside the block one thing is asked of a file: to open it, a frame, a piece of its bytes."""
    thread = threading.get_ident()
    outer = _now.get(thread)
    # The outermost knows it by its name, where others have a descriptor.
    _now[thread] = str(path) if outer is None else outer[0], time.monotonic()
    try:
        yield
    finally:
        if outer is None:
            del _now[thread]
        else:
            # The outer one got ahead.
            _now[thread] = outer[0], time.monotonic()


def reads(function: Callable[Concatenate[Path, P], T]) -> Callable[Concatenate[Path, P], T]:
    """A function that asks one thing of the file that it is given first; see `reading`."""

    @functools.wraps(function)
    def told(path: Path, /, *arguments: P.args, **named: P.kwargs) -> T:
        with reading(path):
            return function(path, *arguments, **named)

    return told


def each_read(path: str | Path, things: Iterable[T]) -> Iterator[T]:
    """The things, each of which a file is asked for; see `reading`."""
    left = iter(things)
    while True:
        with reading(path):
            try:
                thing = next(left)
            except StopIteration:
                return
        yield thing


def longest_reading() -> tuple[str, float] | None:
    """The file that has been asked the longest, and for how many seconds; None where none is."""
    asked = list(_now.values())
    if not asked:
        return None
    path, since = min(asked, key=lambda each: each[1])
    return path, time.monotonic() - since
