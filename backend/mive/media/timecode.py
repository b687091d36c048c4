"""SMPTE 12M timecode: text, frame numbers, and the packed form of EXR and DPX headers."""

from __future__ import annotations

import re
from fractions import Fraction

_TEXT = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})")


def advance(timecode: str, frames: int, rate: Fraction) -> str:
    """The timecode ``frames`` later, wrapping at 24 hours.

    Drop-frame numbering (``;``) is kept where the nominal rate allows it (30 or 60) and becomes
    plain numbering elsewhere. Text that is no timecode comes back as it is.
    """
    number = frame(timecode, rate)
    if number is None:
        return timecode
    nominal, dropped = _counting(timecode, rate)
    per_day = nominal * 86400 - dropped * (1440 - 144)
    return _text((number + frames) % per_day, nominal, dropped)


def frame(timecode: str, rate: Fraction) -> int | None:
    """The frames from 00:00:00:00 to a timecode; None where the text is none."""
    match = _TEXT.fullmatch(timecode.strip())
    if match is None:
        return None
    nominal, dropped = _counting(timecode, rate)
    hours, minutes, seconds, rest = (int(match[i]) for i in (1, 2, 3, 5))
    total_minutes = hours * 60 + minutes
    return (total_minutes * 60 + seconds) * nominal + rest - dropped * (total_minutes - total_minutes // 10)


def _counting(timecode: str, rate: Fraction) -> tuple[int, int]:
    """The frames that count as a second, and those that most minutes drop."""
    nominal = max(1, round(rate))
    drop = any(sign in timecode for sign in ";,") and nominal % 30 == 0
    return nominal, nominal // 15 if drop else 0


def _text(number: int, nominal: int, dropped: int) -> str:
    if dropped:
        per_ten_minutes = nominal * 600 - dropped * 9
        tens, rest = divmod(number, per_ten_minutes)
        # The first minute of every ten drops nothing, the other nine drop their first numbers.
        minutes = max(0, rest - nominal * 60) // (nominal * 60 - dropped)
        minutes += 1 if rest >= nominal * 60 else 0
        number += dropped * (tens * 9 + minutes)
    seconds, frame = divmod(number, nominal)
    separator = ";" if dropped else ":"
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{separator}{frame:02}"


def unpack(word: int) -> str | None:
    """Text of the time-and-flags word of SMPTE 12M; None where it holds no timecode."""
    word &= 0xFFFFFFFF
    digits = [(word >> shift) & 0xF for shift in (24, 16, 8, 0)]
    tens = [(word >> 28) & 3, (word >> 20) & 7, (word >> 12) & 7, (word >> 4) & 3]
    if max(digits) > 9:
        return None
    hours, minutes, seconds, frame = (10 * t + d for t, d in zip(tens, digits, strict=True))
    separator = ";" if word & 0x40 else ":"
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{frame:02}"


def pack(timecode: str) -> int | None:
    """The time-and-flags word of SMPTE 12M; None where the text is no timecode."""
    match = _TEXT.fullmatch(timecode.strip())
    if match is None or len(match[5]) > 2:
        return None
    word = 0x40 if match[4] in ";," else 0
    for shift, group in ((24, 1), (16, 2), (8, 3), (0, 5)):
        tens, digit = divmod(int(match[group]), 10)
        word |= (tens << 4 | digit) << shift
    return word
