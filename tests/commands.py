"""The program, run in this process as a user would type it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mive.cli import main


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON object and nothing else."""
        return json.loads(self.out)


Run = Callable[..., Outcome]


def runner(capfd: pytest.CaptureFixture[str], *first: str) -> Run:
    """``runner(capfd)("edit", "shot.mov", …)``; ``first`` are words that every command begins with."""

    def run(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        code = main([*first, *map(str, arguments)])
        said = capfd.readouterr()
        return Outcome(code, said.out, said.err)

    return run
