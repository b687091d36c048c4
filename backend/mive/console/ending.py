"""What a command says when it is done: for people, or one JSON object for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Protocol

from mive.errors import MiveError


class Made(Protocol):
    """What an edit left on disk; see :class:`mive.edit.EditResult`."""

    @property
    def out(self) -> Path: ...
    @property
    def manifest(self) -> Path: ...
    @property
    def frames(self) -> int: ...
    @property
    def seconds(self) -> dict[str, float]: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...


def say_made(made: Made, as_json: bool, *, told: Collection[str] = (), **more: object) -> None:
    """What came of an edit.

    Args:
        told: warnings that were shown already.
        more: further fields, for machines.
    """
    if as_json:
        names = ("out", "manifest", "frames", "seconds", "warnings")
        say_json({**{name: getattr(made, name) for name in names}, **more})
        return
    say_warnings(warning for warning in made.warnings if warning not in told)
    count = f"{made.frames} frame{'s' if made.frames != 1 else ''}"
    print(f"{made.out}: {count} in {made.seconds['total']:.1f} s")
    print(f"{made.manifest}: how they were made")


def say_json(value: dict[str, Any]) -> None:
    """The one thing on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def say_warnings(warnings: Iterable[str]) -> None:
    """On standard error, one a line."""
    for warning in warnings:
        print(f"Warning: {warning}", file=sys.stderr)


def say_failure(error: MiveError, *, as_json: bool = False) -> int:
    """What happened, what was expected and what to do.

    Returns:
        The code with which the program is to exit.
    """
    if as_json:
        say_json(error.to_dict())
    else:
        print(f"Error: {error.message()}", file=sys.stderr)
    return error.exit_code
