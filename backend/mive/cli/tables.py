"""Scores and views as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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
    if scores.ideal is not None:
        console.print(_against_ideal(scores))
    for note in scores.notes:
        console.print(note, markup=False)


def show_views(framing: Framing) -> None:
    """All views on stdout, with a line between windows."""
    table = Table("frames", "instances", "box", "at", "model", "scale")
    for _, frames, views in framing.windows():
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


def _against_ideal(scores: Scores) -> Table:
    """Each instance, and their mean, against the ideal edit."""
    table = Table("id", "PSNR in dB", "the VAE's", "share", "ΔE", "the VAE's", "SSIM", "the VAE's")
    for name, found in (*((str(row.id), row.ideal) for row in scores.instances), ("mean", scores.ideal)):
        if found is None:
            continue
        most = found.ceiling
        share = "-" if found.share is None else f"{found.share:.0%}"
        table.add_row(
            name, _number(found.psnr, 1), _number(most.psnr, 1), share,
            _number(found.delta_e, 1), _number(most.delta_e, 1), _number(found.ssim), _number(most.ssim),
        )  # fmt: skip
    return table


def _number(value: float | None, places: int = 3) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def show_mattes(rows: list[dict[str, Any]]) -> None:
    """What mattes hold, an instance a line, on stdout."""
    table = Table("id", "kind", "frames", "share of the picture", "matte")
    for row in rows:
        table.add_row(str(row["id"]), row["kind"], str(row["frames"]), f"{100 * row['share']:.3g} %", row["matte"])
    Console(highlight=False).print(table)
