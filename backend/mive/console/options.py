"""The options that all programs have, options in groups, and words that are chosen by one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from mive.base.validation import did_you_mean
from mive.errors import RequestError

_Word = TypeVar("_Word", bound=str)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines, errors too.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command as Typer reads it: a parameter that is a dataclass of options stands for its fields."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {
        name: each.annotation for name, each in signature.parameters.items() if is_dataclass(each.annotation)
    }

    def called(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    parameters: list[inspect.Parameter] = []
    for name, each in signature.parameters.items():
        parameters += _options(groups[name]) if name in groups else (each.replace(kind=each.KEYWORD_ONLY),)
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return called


def _options(group: Any) -> list[inspect.Parameter]:
    """The fields of a dataclass, all of which have defaults, as parameters."""
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(group)
    ]


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
