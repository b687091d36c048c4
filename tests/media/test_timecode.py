"""Timecode arithmetic, against SMPTE 12M's own landmarks."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mive.media.timecode import advance, pack, unpack

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("start", "frames", "rate", "end"),
    [
        ("00:00:00:00", 24, Fraction(24), "00:00:01:00"),
        ("23:59:59:24", 1, Fraction(25), "00:00:00:00"),
        ("00:00:59;29", 1, NTSC, "00:01:00;02"),
        ("00:09:59;29", 1, NTSC, "00:10:00;00"),
        ("00:00:00;00", 107892, NTSC, "01:00:00;00"),
        ("00:00:59;59", 1, NTSC * 2, "00:01:00;04"),
        ("00:00:59:29", 1, NTSC, "00:01:00:00"),
        ("no timecode", 5, Fraction(24), "no timecode"),
    ],
)
def test_landmarks(start, frames, rate, end):
    assert advance(start, frames, rate) == end


@given(st.integers(0, 2_589_407), st.integers(0, 100_000))
def test_drop_frame_steps_add_up(first, second):
    once = advance("00:00:00;00", first + second, NTSC)
    assert advance(advance("00:00:00;00", first, NTSC), second, NTSC) == once
    assert not (once[6:8] == "00" and once[9:] in ("00", "01") and once[4] != "0")


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 29), st.booleans())
def test_packing_goes_both_ways(hours, minutes, seconds, frame, drop):
    text = f"{hours:02}:{minutes:02}:{seconds:02}{';' if drop else ':'}{frame:02}"
    word = pack(text)
    assert word is not None
    assert unpack(word) == text


def test_an_empty_header_field_is_no_timecode():
    assert unpack(0xFFFFFFFF) is None
    assert pack("not one") is None
