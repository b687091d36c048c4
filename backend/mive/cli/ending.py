"""What a command says when it is done: for people, or one JSON object for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from mive.errors import MiveError


def say_json(value: dict[str, Any]) -> None:
    """The one thing on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def say_warnings(warnings: Iterable[str]) -> None:
    """On standard error, one a line."""
    for warning in warnings:
        print(f"Warning: {warning}", file=sys.stderr)


def say_failure(error: MiveError, *, as_json: bool) -> None:
    """What happened, what was expected and what to do."""
    if as_json:
        say_json(error.to_dict())
    else:
        print(f"Error: {error.message()}", file=sys.stderr)
