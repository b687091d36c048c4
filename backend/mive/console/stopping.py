"""Ctrl-C and the polite ways to end a process, all as KeyboardInterrupt, so that outputs clean up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Inside the block, the first of the signals raises KeyboardInterrupt, and more are ignored.

    So a second Ctrl-C cannot cut short the removal of unfinished files. The event tells that one
    came, because libraries may turn the exception into something else.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped  # only the main thread receives signals
        return

    def stop(number: int, frame: object) -> None:
        for other in _SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        stopped.set()
        raise KeyboardInterrupt

    # One that the parent wants ignored stays so (nohup).
    handled = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = [signal.signal(number, stop) for number in handled]
    try:
        yield stopped
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)
