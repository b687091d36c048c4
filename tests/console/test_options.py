"""Options in groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from mive.console.options import grouped


@dataclass(frozen=True)
class Paint:
    colour: Annotated[str, typer.Option(metavar="NAME", help="What it is painted in.")] = "red"
    coats: Annotated[list[str] | None, typer.Option("--coat", help="Once for each.")] = None


@dataclass(frozen=True)
class Varnish(Paint):
    colour: Annotated[str, typer.Option(metavar="NAME", help="What shows through.")] = "clear"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("cup", ("cup", Paint(), False)),
        ("--colour blue --coat a --coat b --dry cup", ("cup", Paint("blue", ["a", "b"]), True)),
    ],
)
def test_a_command_gets_its_options_as_it_groups_them(words: str, expected: tuple[object, ...]) -> None:
    told: list[tuple[object, ...]] = []
    program = typer.Typer()

    @program.command()
    @grouped
    def paint(thing: str, *, paint: Paint, dry: Annotated[bool, typer.Option("--dry")] = False) -> None:
        told.append((thing, paint, dry))

    program(words.split(), standalone_mode=False)
    assert told == [expected]


def test_a_group_may_replace_an_option_of_another(capsys: pytest.CaptureFixture[str]) -> None:
    program = typer.Typer()

    @program.command()
    @grouped
    def finish(*, varnish: Varnish) -> None:
        """Finish it."""
        print(varnish)

    program([], standalone_mode=False)
    assert "colour='clear'" in capsys.readouterr().out
    program(["--help"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "Finish it." in shown
    assert shown.index("What shows through.") < shown.index("Once for each.")
