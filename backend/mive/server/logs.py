"""What the processes of a server say: one line per event, for people or as JSON.

Captions, paths and whatever else belongs to a client's job must not show unless the level is "debug". Messages of
:mod:`mive` keep to that by themselves, those of gRPC do so far; other packages' messages, and the texts of unexpected
exceptions, can quote anything and are left out below "debug".
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Literal, TextIO

from pydantic import Field

from mive.base.validation import Model

_DISCREET: Final = ("mive", "grpc")
_FRAMES: Final = 6
_OWNER: Final = 8

_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))


class LogOptions(Model):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description='the least that is logged; "debug" can show captions and paths of jobs'
    )
    format: Literal["text", "json"] = Field(default="text", description="one line per event: for people, or JSON")


def set_up_logging(options: LogOptions, *, worker: str = "", stream: TextIO | None = None) -> None:
    """Make this process log to ``stream``, by default standard error, and uncaught exceptions with it.

    Args:
        worker: name of the worker process that this is.
    """
    debug = options.level == "debug"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines(as_json=options.format == "json", debug=debug, worker=worker))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel("INFO" if debug else options.level.upper())
    logging.getLogger("mive").setLevel(options.level.upper())
    logging.captureWarnings(True)
    take_over()
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def take_over() -> None:
    """Have the loggers of packages that were imported since speak through ours; some bring a stream of their own."""
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True


def bind(**facts: str) -> None:
    """From here on, whatever this task or thread logs is about these: ``job``, ``owner`` (which is shortened)."""
    _about.set(_merged(facts))


@contextlib.contextmanager
def about(**facts: str) -> Iterator[None]:
    """As :func:`bind`, for a while."""
    token = _about.set(_merged(facts))
    try:
        yield
    finally:
        _about.reset(token)


class Lines(logging.Formatter):
    """One line per event, whatever the values hold."""

    def __init__(self, *, as_json: bool, debug: bool, worker: str) -> None:
        super().__init__()
        self.as_json = as_json
        self.debug = debug
        self.worker = worker

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        facts = {**({"worker": self.worker} if self.worker else {}), **_about.get()}
        if record.exc_info and record.exc_info[0] is not None:
            facts |= self._exception(record.exc_info[0], record.exc_info[1], record.exc_info[2])
        event = self._event(record)
        if self.as_json:
            line = json.dumps({"ts": time, "level": record.levelname.lower(), "event": event, **facts})
            # The one character that JSON leaves as it is and a terminal does not show.
            return line.replace("\x7f", "\\u007f")
        words = (time, f"{record.levelname:<7}", event, *(f"{name}={value}" for name, value in facts.items()))
        return " ".join(map(_printable, words))

    def _event(self, record: logging.LogRecord) -> str:
        if self.debug or record.name.partition(".")[0] in _DISCREET:
            return record.getMessage()
        return f"a message of {record.name}, which the level debug shows"

    def _exception(
        self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> dict[str, str]:
        if self.debug:
            return {"error": "".join(traceback.format_exception(kind, error, trace)).strip()}
        places = traceback.extract_tb(trace)[-_FRAMES:]
        return {"error": kind.__name__, "at": " ".join(f"{Path(p.filename).name}:{p.lineno}" for p in places)}


def _merged(facts: Mapping[str, str]) -> Mapping[str, str]:
    shown = {name: value[:_OWNER] if name == "owner" else value for name, value in facts.items()}
    return {**_about.get(), **shown}


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("mive").critical("unexpected error", exc_info=(kind, error or kind(), trace))
