"""What is known about a clip travels without loss."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mive.errors import RequestError
from mive.media.info import ClipInfo, ColourTags
from mive.v1 import media_pb2
from mive.wire.clip import clip_from_message, clip_to_message

names = st.text("abcé0 .-", min_size=1).map(Path)
rates = st.fractions(Fraction(1, 1000), 1000, max_denominator=10**6)
tags = st.builds(ColourTags, st.integers(0, 15), st.integers(0, 22), st.integers(0, 18), st.booleans())


@st.composite
def clips(draw: st.DrawFn) -> ClipInfo:
    times = draw(st.none() | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4).map(tuple))
    return ClipInfo(
        path=draw(names),
        width=draw(st.integers(1, 2**32 - 1)),
        height=draw(st.integers(1, 2**32 - 1)),
        frames=draw(st.integers(1, 2**32 - 1)),
        rate=draw(rates),
        depth=draw(st.sampled_from(["u8", "u16", "f32"])),
        colour=draw(tags),
        timecode=draw(st.sampled_from([None, "", "01:00:00;02"])),
        has_audio=draw(st.booleans()),
        variable_rate=draw(st.booleans()),
        is_sequence=draw(st.booleans()),
        pixel_aspect=draw(rates),
        bits=draw(st.integers(1, 32)),
        start=draw(st.fractions(-1000, 1000, max_denominator=10**6)),
        pts=times,
        time_base=None if times is None else draw(rates),
        files=tuple(draw(st.lists(names, max_size=3))),
        first_number=draw(st.integers(-5, 10**6)),
        chromaticities=draw(st.none() | st.tuples(*[st.floats(0, 1)] * 8)),
    )


@given(clips())
def test_a_clip_comes_back_as_it_was(info: ClipInfo) -> None:
    data = clip_to_message(info).SerializeToString()
    assert clip_from_message(media_pb2.ClipInfo.FromString(data)) == info


def test_what_is_not_said_about_colour_is_unspecified() -> None:
    info = ClipInfo(Path("a"), 4, 4, 1, Fraction(24))
    message = clip_to_message(info)
    message.ClearField("colour")
    assert clip_from_message(message).colour == ColourTags(2, 2, 2, False)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"frames": 0}, "clip.frames"),
        ({"depth": 0}, "clip.depth"),
        ({"depth": 3}, "clip.depth"),
        ({"rate": {"numerator": 0, "denominator": 1}}, "clip.rate"),
        ({"rate": {"numerator": 25, "denominator": 0}}, "clip.rate"),
        ({"chromaticities": [0.3]}, "clip.chromaticities"),
        ({"pts": [1, 2]}, "clip.time_base"),
    ],
)
def test_facts_that_cannot_be_are_refused(changes: dict[str, Any], field: str) -> None:
    rate = media_pb2.Rational(numerator=25, denominator=1)
    fields = {"width": 4, "height": 4, "frames": 1, "depth": media_pb2.PIXEL_FORMAT_U8, "rate": rate, **changes}
    with pytest.raises(RequestError) as caught:
        clip_from_message(media_pb2.ClipInfo(**fields))
    assert caught.value.field == field


def test_a_name_that_is_not_unicode_is_refused() -> None:
    for info in (
        ClipInfo(Path("caf\udce9"), 4, 4, 1, Fraction(24)),
        ClipInfo(Path("a"), 4, 4, 1, Fraction(24), files=(Path("caf\udce9"),)),
    ):
        with pytest.raises(RequestError, match="Unicode"):
            clip_to_message(info)
