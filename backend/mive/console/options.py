"""The options that all programs have, and words that are chosen by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import typer

from mive._validation import did_you_mean
from mive.errors import RequestError

_Word = TypeVar("_Word", bound=str)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines, errors too.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def one_of(kind: str, word: str, known: Sequence[_Word]) -> _Word:
    """The word itself, given with ``--kind``.

    Raises:
        RequestError: it is none of those that are known.
    """
    for each in known:
        if each == word:
            return each
    raise RequestError(
        f'"{word}" is not a choice',
        expected=f"one of {', '.join(known)}",
        fix=did_you_mean(word, known) or f"Leave --{kind} out",
        field=kind,
    )
