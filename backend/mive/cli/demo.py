"""``mive demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mive.cli.tables import show_scores
from mive.console.ending import say_json, say_warnings
from mive.console.needs import require_models
from mive.console.options import JsonOption, QuietOption
from mive.console.progress import shown

if TYPE_CHECKING:
    from mive.evaluate.demo import DemoResult


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where everything goes.")] = Path("mive-demo"),
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Edit a small clip that comes with MIVE: three things, each by its own caption."""
    require_models()
    from mive.evaluate import demo as demonstration

    with shown(quiet) as report:
        result = demonstration.run_demo(out, report=report)
    if json:
        paths = {name: str(getattr(result, name)) for name in _FILES}
        rest = {"seconds": result.seconds, "warnings": list(result.warnings)}
        say_json({**paths, **rest, "measured": result.measured.to_dict()})
    else:
        _say(result)


_FILES = {
    "source": "the clip",
    "ideal": "what a perfect edit would be",
    "edited": "the edit",
    "sheet": "the clip, its mattes, the ideal and the edit on one picture",
    "scores": "all scores",
    "manifest": 'how it was made, for "mive render-again"',
    "mattes": "the ID mattes",
    "request": 'the edit as a file; change it and run "mive edit --request"',
}


def _say(result: DemoResult) -> None:
    say_warnings(result.warnings)
    show_scores(result.measured)
    print(f"Edited in {result.seconds:.1f} s. Look at:")
    width = max(len(str(getattr(result, name))) for name in _FILES)
    for name, meaning in _FILES.items():
        print(f"  {str(getattr(result, name)).ljust(width)}  {meaning}")
