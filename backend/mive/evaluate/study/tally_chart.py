"""A study's outcome as one SVG picture that stands by itself."""

from __future__ import annotations

from html import escape
from typing import Final

from mive.evaluate.bench.statistics import Estimate
from mive.evaluate.study.questions import QUESTIONS
from mive.evaluate.study.tally import Tally

_NAMES: Final = 190
_PANEL: Final = 220
_GAP: Final = 44
_ROW: Final = 34
_TOP: Final = 44
_BOTTOM: Final = 42
_STYLE: Final = """
:root { --paper: #fcfcfa; --ink: #1d1f21; --muted: #6a6f76; --rule: #dcdcd6; --bar: #2757a8; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181b; --ink: #e7e7e3; --muted: #989da5; --rule: #34383d; --bar: #7fa9f0; }
}
.paper { fill: var(--paper); } .bar { fill: var(--bar); fill-opacity: .75; }
text { fill: var(--ink); font: 13px system-ui, "Segoe UI", Roboto, Arial, sans-serif; }
.muted { fill: var(--muted); font-size: 12px; } .head { font-weight: 600; }
.grid { stroke: var(--rule); } .chance { stroke: var(--muted); stroke-dasharray: 4 3; }
.whisker { stroke: var(--ink); stroke-width: 1.5; fill: none; }
"""


def chart(made: Tally) -> str:
    """A bar for each method under each question, with its interval, and a line where chance would be."""
    width = _NAMES + len(QUESTIONS) * (_PANEL + _GAP) + 10
    height = _TOP + len(made.shares) * _ROW + _BOTTOM
    names = "".join(
        f'<text x="{_NAMES - 10}" y="{_middle(place) + 4}" text-anchor="end">'
        f"{escape(_short(made.key.methods[method]))}</text>"
        for place, method in enumerate(made.shares)
    )
    panels = "".join(
        _panel(made, question.name, f"{question.column}: {question.short.lower()}", _NAMES + place * (_PANEL + _GAP))
        for place, question in enumerate(QUESTIONS)
    )
    title = f"{made.key.title}: how often each method was chosen, in percent"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f'<rect class="paper" width="{width}" height="{height}"/>{names}{panels}</svg>\n'
    )


def _panel(made: Tally, question: str, title: str, left: int) -> str:
    base = _TOP + len(made.shares) * _ROW
    parts = [f'<text class="head" x="{left}" y="24">{escape(title)}</text>']
    for percent in (0, 25, 50, 75, 100):
        x = left + _PANEL * percent / 100
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP - 6}" y2="{base}"/>')
        parts.append(f'<text class="muted" x="{x}" y="{base + 17}" text-anchor="middle">{percent}</text>')
    parts += [_bar(row[question], left, _middle(place)) for place, row in enumerate(made.shares.values())]
    chance = left + _PANEL / len(made.shares)
    parts.append(f'<line class="chance" x1="{chance:.1f}" x2="{chance:.1f}" y1="{_TOP - 6}" y2="{base}"/>')
    parts.append(f'<text class="muted" x="{chance:.1f}" y="{base + 33}" text-anchor="middle">chance</text>')
    return "".join(parts)


def _bar(share: Estimate, left: int, y: float) -> str:
    bar = f'<rect class="bar" x="{left}" y="{y - 9}" width="{_PANEL * share.mean:.1f}" height="18"/>'
    if share.low is None or share.high is None:
        return bar
    low, high = (left + _PANEL * end for end in (share.low, share.high))
    ends = f"M{low:.1f} {y - 5}v10M{low:.1f} {y}H{high:.1f}M{high:.1f} {y - 5}v10"
    return f'{bar}<path class="whisker" d="{ends}"/>'


def _middle(place: int) -> float:
    return _TOP + (place + 0.5) * _ROW


def _short(title: str) -> str:
    return title if len(title) <= 26 else title[:25] + "…"
