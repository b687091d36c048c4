"""The worst and best clips of each method, as part of a report's page."""

from __future__ import annotations

from html import escape
from typing import Any, Final

from mive.evaluate.bench import tables
from mive.evaluate.bench.report import Report
from mive.evaluate.bench.report_sheets import colour, strips
from mive.evaluate.bench.results import Result, RunFolder
from mive.evaluate.bench.suite import SuiteClip

WORST: Final = 4
BEST: Final = 2
"""How many clips of either kind are shown of a method."""


def clip_sections(report: Report, folder: RunFolder) -> str:
    """A part to unfold for each method; the first is open.

    Raises:
        MediaError: a clip cannot be read.
    """
    clips = {clip.name: clip for clip in report.clips}
    parts = ["<p>By the mean of CIA and IA, then LTF. Bars beside the captions show CIA by instance.</p>"]
    for number, (method, rows) in enumerate(report.results.items()):
        order = tables.ranked(rows)
        worst, best = order[:WORST], order[WORST:][-BEST:][::-1]
        cards = "".join(
            f"<h4>{title}</h4><div class='cards'>{''.join(_card(one, clips[one.clip], folder) for one in some)}</div>"
            for title, some in (("Worst", worst), ("Best", best))
            if some
        )
        opened = " open" if number == 0 else ""
        parts.append(f"<details{opened}><summary>{escape(report.titles[method])}</summary>{cards}</details>")
    return "".join(parts)


def _card(result: Result, clip: SuiteClip, folder: RunFolder) -> str:
    scores = result.scores
    assert scores is not None, "only clips with scores are shown"
    names = (*tables.SCORES, *(tables.IDEAL if clip.ideal else ()))
    figures = "".join(
        f"<li>{tables.label(name)} <b>{_number(tables.value(scores, name), tables.places(name))}</b></li>"
        for name in names
    )
    pictures = "".join(
        f"<div class='strip'><span>{name}</span>{''.join(f'<img src={url!r} alt={name!r}>' for url in urls)}</div>"
        for name, urls in strips(clip, folder.video(result.method, clip.name)).items()
    )
    words = "".join(_caption(place, row) for place, row in enumerate(scores["instances"]))
    return (
        f"<article><h5>{escape(clip.name)}</h5><ul class='figures'>{figures}</ul>{pictures}"
        f"<ul class='captions'>{words}</ul></article>"
    )


def _caption(place: int, row: dict[str, Any]) -> str:
    share = 0 if row["cia"] is None else row["cia"]
    return (
        f"<li><i style='background:{colour(place)}'></i><span><s>{escape(row['source_caption'])}</s> → "
        f"{escape(row['caption'])}</span><meter value='{share:.3f}'>{share:.2f}</meter>"
        f"<em>{_number(row['cia'], 2)}</em></li>"
    )


def _number(value: float | None, places: int) -> str:
    return "–" if value is None else f"{value:.{places}f}"
