"""Scores and views as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from mive.editing.framing import Framing
    from mive.evaluate.metrics.report import Scores

_MEANINGS: Final = {
    "gtc": ("GTC", "the frame stays consistent over time", "higher"),
    "gtf": ("GTF", "the frame shows what the captions say", "higher"),
    "fa": ("FA", "frames more like the captions than the source's", "higher"),
    "ltc": ("LTC", "each instance stays consistent over time", "higher"),
    "ltf": ("LTF", "each instance shows what its caption says", "higher"),
    "ia": ("IA", "instances more like their caption than before", "higher"),
    "cia": ("CIA", "instances most like their own caption", "higher"),
    "bp": ("BP", "change outside the mattes, 0 to 255", "lower"),
}


def show_scores(scores: Scores) -> None:
    """The eight scores, those of each instance, and what the user should know, on stdout."""
    console = Console(highlight=False)
    whole = Table("", "score", "what it says", "better")
    for name, (short, meaning, better) in _MEANINGS.items():
        whole.add_row(short, _number(getattr(scores, name)), meaning, better)
    console.print(whole)
    each = Table("id", "caption", "LTF", "IA", "CIA", "leak")
    for row in scores.instances:
        numbers = (_number(value) for value in (row.ltf, row.ia, row.cia, row.leak))
        each.add_row(str(row.id), row.caption, *numbers)
    console.print(each)
    for note in scores.notes:
        console.print(note, markup=False)


def show_views(framing: Framing) -> None:
    """All views on stdout, with a line between windows."""
    table = Table("frames", "instances", "box", "at", "model", "scale")
    for frames, views in framing.windows():
        for view in views:
            first, last = view.box(frames.first), view.box(frames.last)
            where = f"{first.left},{first.top}" + ("" if view.still else f" … {last.left},{last.top}")
            table.add_row(
                str(frames),
                ", ".join(map(str, view.instances)),
                "whole frame" if framing.is_whole(view) else f"{view.width}x{view.height}",
                where,
                f"{view.model_width}x{view.model_height}",
                f"{view.scale:.2f}",
            )
        if not views:
            table.add_row(str(frames), "none", "", "", "", "")
        table.add_section()
    Console(highlight=False).print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
