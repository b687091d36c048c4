"""Plots as inline SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from statistics import median
from typing import Final

WIDTH: Final = 560
HEIGHT: Final = 320
SERIES: Final = 8
"""Colours that the page's style has for series."""

_MEDIANS: Final = 3
"""How many times the highest median the y axis shows, so that a few clips of a busy machine do not flatten the rest."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 46

Points = Sequence[tuple[float, float]]


def scatter(series: Mapping[str, Points], x_label: str, y_label: str, title: str) -> str:
    """Dots, and for each series a line through its medians at each x.

    What lies far beyond the medians is drawn hollow, on the upper edge.

    Args:
        series: points by name, their x whole numbers; axes start at 0.
        x_label, y_label: what the axes show, with units.
        title: for readers who do not see the picture.
    """
    points = [point for rows in series.values() for point in rows]
    across, up = _ticks(max(x for x, _ in points), 1), _ticks(max(y for _, y in points if y <= _reach(series)), 0)
    right, top = across[-1], up[-1]
    axes = _axes(across, up, x_label, y_label)
    drawn = [_series(rows, number, len(series), right, top) for number, rows in enumerate(series.values())]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{axes}{''.join(drawn)}</svg>"
    )


def _reach(series: Mapping[str, Points]) -> float:
    """The highest y that is not far beyond the medians."""
    return _MEDIANS * max(y for rows in series.values() for _, y in _medians(rows))


def _medians(points: Points) -> list[tuple[float, float]]:
    """The median y at each x."""
    return [(at, median([y for x, y in points if x == at])) for at in sorted({x for x, _ in points})]


def _series(points: Points, number: int, of: int, right: float, top: float) -> str:
    """Dots beside each other where several series share an x, and the line of medians."""
    shift = (number - (of - 1) / 2) * min(5.0, 26 / of)
    dots = "".join(_dot(_x(x, right) + shift, y, top) for x, y in sorted(points))
    medians = _medians(points)
    path = " ".join(f"{_x(x, right) + shift:.1f},{_y(y, top):.1f}" for x, y in medians)
    line = f'<polyline points="{path}"/>' if len(medians) > 1 else ""
    return f'<g class="series s{number % SERIES}">{dots}{line}</g>'


def _dot(x: float, y: float, top: float) -> str:
    kind, y = ' class="beyond"' if y > top else "", min(y, top)
    return f'<circle{kind} cx="{x:.1f}" cy="{_y(y, top):.1f}" r="3"/>'


def _axes(across: Sequence[float], up: Sequence[float], x_label: str, y_label: str) -> str:
    parts, right, top = [], across[-1], up[-1]
    for value in up:
        y = _y(value, top)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    base = HEIGHT - _BOTTOM
    for value in across:
        x = _x(value, right)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 5}"/>')
        parts.append(f'<text x="{x:.1f}" y="{base + 19}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>')
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text class="label" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>')
    centre = (_TOP + base) / 2
    parts.append(
        f'<text class="label" x="15" y="{centre}" text-anchor="middle" transform="rotate(-90 15 {centre})">'
        f"{escape(y_label)}</text>"
    )
    return "".join(parts)


def _x(value: float, right: float) -> float:
    return _LEFT + value / right * (WIDTH - _LEFT - _RIGHT)


def _y(value: float, top: float) -> float:
    return HEIGHT - _BOTTOM - value / top * (HEIGHT - _TOP - _BOTTOM)


def _ticks(most: float, least: float) -> list[float]:
    """From 0 to the first tick beyond ``most``, four to nine of them, 1, 2 or 5 times a power of ten apart."""
    most = most or 1.0
    power = 10.0 ** math.floor(math.log10(most / 4))
    step = max(least, next(power * factor for factor in (1, 2, 5, 10) if most / (power * factor) <= 9))
    return [round(index * step, 9) for index in range(math.floor(most / step) + 2)]
