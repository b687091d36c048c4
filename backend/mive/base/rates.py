"""Frame rates as people and headers write them, as exact fractions."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_TEXT: Final = re.compile(r"(\d+(?:\.\d+)?)(?:\s*/\s*(\d+))?")
_MOST: Final = 1000
_NEAR: Final = 0.006
"""How far "23.97" and "23.98" may lie from 24000/1001."""


def parse_rate(text: str) -> Fraction | None:
    """Frames a second from ``"25"``, ``"24000/1001"`` or ``"23.976"``; None where it is no rate up to 1000."""
    match = _TEXT.fullmatch(text.strip())
    if match is None or (match[2] is not None and int(match[2]) == 0):
        return None
    if match[2] is None:
        return exact_rate(float(match[1]))
    rate = Fraction(match[1]) / int(match[2])
    return rate if 0 < rate <= _MOST else None


def exact_rate(rate: float) -> Fraction | None:
    """The fraction that a rounded number stands for: 23.976 is 24000/1001. None where it is no rate up to 1000."""
    if not 0 < rate <= _MOST:
        return None
    if rate == int(rate):
        return Fraction(int(rate))
    drop = Fraction(round(rate * 1.001) * 1000, 1001)
    if drop.numerator and abs(drop - Fraction(rate)) < _NEAR:
        return drop
    return Fraction(rate).limit_denominator(1001)


def shown_rate(rate: Fraction) -> str:
    """``"25"`` or ``"23.976"``."""
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")
