"""Columns of a row that another version of MIVE may have written: each is read, or is a fault of that row alone."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from typing import Any, Final, TypeVar

from mive.base.jobs import PRIORITIES, STATES, USUAL_PRIORITY, JobState, Priority
from mive.request import EditRequest, FrameRange

_T = TypeVar("_T")

_MOST_SECONDS: Final = 253_402_300_799.0
"""The end of the year 9999, which is as far as timestamps go."""

_MOST_NUMBER: Final = 2**31 - 1
_ERROR: Final = ("error", "what")


class Columns:
    """A row of the table ``jobs``.

    Attributes:
        faults: names of the columns that could not be read.
    """

    def __init__(self, row: sqlite3.Row) -> None:
        self._row = row
        self.faults: list[str] = []

    def text(self, name: str) -> str | None:
        return self._read(name, _text)

    def data(self, name: str) -> bytes | None:
        return self._read(name, _data)

    def seconds(self, name: str) -> float | None:
        """Seconds since the epoch, or a length of time."""
        return self._read(name, _seconds)

    def number(self, name: str) -> int | None:
        """0 or more."""
        return self._read(name, _number)

    def request(self, name: str) -> EditRequest | None:
        return self._read(name, EditRequest.from_json)

    def priority(self, name: str) -> Priority:
        return self._read(name, lambda value: PRIORITIES[_number(value)]) or USUAL_PRIORITY

    def state(self, name: str) -> JobState:
        """A state that is not known is one that does not last: somebody will fail the job."""
        return self._read(name, lambda value: STATES[STATES.index(value)]) or "queued"

    def frames(self, first: int, last: int) -> FrameRange | None:
        return self._read("first", lambda _: FrameRange(first, last))

    def error(self, name: str) -> dict[str, str | None] | None:
        return self._read(name, _error)

    def _read(self, name: str, read: Callable[[Any], _T]) -> _T | None:
        value = self._row[name]
        if value is None:
            return None
        try:
            return read(value)
        # Nobody knows what other versions and damaged disks put there.
        except Exception:
            self.faults.append(name)
            return None


def is_unicode(text: str) -> bool:
    """Messages can carry it: no byte of it was something else in the database."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _text(value: object) -> str:
    if not isinstance(value, str) or not is_unicode(value):
        raise TypeError
    return value


def _data(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError
    return value


def _seconds(value: object) -> float:
    seconds = float(value) if isinstance(value, int | float) else math.nan
    if not 0 <= seconds <= _MOST_SECONDS:
        raise ValueError
    return seconds


def _number(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= _MOST_NUMBER:
        raise ValueError
    return value


def _error(value: object) -> dict[str, str | None]:
    told = json.loads(_text(value))
    if not all(isinstance(told[name], str) for name in _ERROR):
        raise ValueError
    return {name: told.get(name) for name in ("error", "what", "expected", "fix", "field")}
