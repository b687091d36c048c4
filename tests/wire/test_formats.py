"""Frames as bytes in every layout, sample types into one another, and declarations that are refused."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mive.base.samples import BY_NAME
from mive.errors import RequestError
from mive.media.info import ColourTags, Pixels
from mive.v1 import media_pb2
from mive.wire.formats import (
    FrameFormat,
    FrameLimits,
    PixelFormat,
    format_from_message,
    format_of,
    format_to_message,
    pack,
    to_pixel_format,
    unpack,
)

SEED = 7


def picture(layout: FrameFormat) -> Pixels:
    """Random bits of the layout's shape; for floats NaN and infinities too."""
    dtype = layout.dtype
    bits = np.random.default_rng(SEED).integers(0, 256, (*layout.shape, dtype.itemsize), np.uint8)
    return bits.view(dtype)[..., 0]


@st.composite
def layouts(draw: st.DrawFn) -> FrameFormat:
    name: PixelFormat = draw(st.sampled_from(["u8", "u16", "half", "float"]))
    layout = FrameFormat(
        width=draw(st.integers(1, 33)),
        height=draw(st.integers(1, 17)),
        channels=draw(st.sampled_from([1, 3, 4])),
        pixel_format=name,
        row_order=draw(st.sampled_from(["top_down", "bottom_up"])),
        colour=draw(st.none() | st.just(ColourTags(0, 9, 16, True))),
    )
    padding = draw(st.integers(0, 5)) * BY_NAME[name].dtype.itemsize
    return FrameFormat(**{**vars(layout), "row_bytes": layout.tight + padding if padding else 0})


@given(layouts())
def test_a_frame_comes_back_from_its_bytes_bit_for_bit(layout: FrameFormat) -> None:
    frame = picture(layout)
    data = pack(frame, layout)
    assert len(data) == layout.size
    assert unpack(data, layout).tobytes() == frame.tobytes()
    assert unpack(bytes(data), layout).shape == frame.shape


@given(layouts())
def test_a_format_comes_back_from_its_message(layout: FrameFormat) -> None:
    assert format_from_message(format_to_message(layout)) == layout


def test_bottom_up_puts_the_last_row_first() -> None:
    frame = np.array([[1, 2], [3, 4]], np.uint8)
    assert bytes(pack(frame, format_of(frame))) == bytes([1, 2, 3, 4])
    assert bytes(pack(frame, format_of(frame, row_order="bottom_up"))) == bytes([3, 4, 1, 2])
    padded = FrameFormat(2, 2, 1, "u8", "bottom_up", row_bytes=3)
    assert bytes(pack(frame, padded)) == bytes([3, 4, 0, 1, 2, 0])


def test_a_frame_of_any_strides_can_be_sent() -> None:
    """Hosts hand out images whose rows run backwards (negative row bytes), and views of RGBA."""
    rgba = np.random.default_rng(SEED).integers(0, 256, (7, 5, 4), np.uint8)
    view = rgba[::-1, :, :3]
    layout = format_of(view)
    assert unpack(pack(view, layout), layout).tolist() == view.tolist()


def test_nothing_is_copied_where_nothing_moves() -> None:
    frame = np.zeros((4, 4, 3), np.float32)
    assert np.shares_memory(np.frombuffer(pack(frame, format_of(frame)), np.uint8), frame)
    data = bytearray(frame.nbytes)
    unpack(data, format_of(frame, row_order="bottom_up"))[0] = 1
    assert data.endswith(np.ones((1, 4, 3), np.float32).tobytes())


def test_a_frame_that_is_not_as_declared_is_refused() -> None:
    with pytest.raises(RequestError, match=r"4 x 4 of float32.*4 x 5 of uint8"):
        pack(np.zeros((4, 4), np.float32), FrameFormat(5, 4, 1, "u8"))
    with pytest.raises(RequestError, match=r"19 bytes.*20 bytes"):
        unpack(bytes(19), FrameFormat(5, 4, 1, "u8"))


def message(**changes: Any) -> media_pb2.FrameFormat:
    """The declaration of an 8K float frame, with some fields changed."""
    fields = {"width": 7680, "height": 4320, "channels": 3, "pixel_format": 4, "row_order": 1, **changes}
    return media_pb2.FrameFormat(**fields)


def test_an_8k_float_frame_may_be_declared() -> None:
    assert format_from_message(message()).size == 7680 * 4320 * 3 * 4
    assert format_from_message(message(channels=4, row_bytes=7680 * 16 + 64)).size < 1 << 30


@pytest.mark.parametrize(
    ("declared", "field"),
    [
        (media_pb2.FrameFormat(), "width"),
        (message(width=0), "width"),
        (message(height=2**32 - 1), "height"),
        (message(channels=2), "channels"),
        (message(channels=2**32 - 1), "channels"),
        (message(pixel_format=0), "pixel_format"),
        (message(pixel_format=9), "pixel_format"),
        (message(row_order=0), "row_order"),
        (message(row_bytes=1), "row_bytes"),
        (message(row_bytes=7680 * 12 + 2), "row_bytes"),
        (message(row_bytes=2**64 - 4), "row_bytes"),
        (message(width=16384, height=16384, channels=4), "row_bytes"),
    ],
)
def test_wrong_declarations_are_refused_and_nothing_is_allocated(declared: media_pb2.FrameFormat, field: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(RequestError) as caught:
            format_from_message(declared, at="clip.format")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert caught.value.field == f"clip.format.{field}"


def test_limits_are_the_servers() -> None:
    with pytest.raises(RequestError, match="1 to 4096 pixels"):
        format_from_message(message(), limits=FrameLimits(side=4096))
    with pytest.raises(RequestError, match="at most 1000 bytes"):
        format_from_message(message(), limits=FrameLimits(frame_bytes=1000))


def test_codes_survive_wider_types_and_back() -> None:
    codes = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert (to_pixel_format(to_pixel_format(codes, "float"), "u16") == codes).all()
    bytes_ = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for wider in ("u16", "half", "float"):
        assert (to_pixel_format(to_pixel_format(bytes_, wider), "u8") == bytes_).all()
    halves = codes.view(np.float16)
    kept = to_pixel_format(to_pixel_format(halves, "float"), "half")
    finite = np.isfinite(halves)
    assert (kept[finite] == halves[finite]).all()


def test_values_beyond_white_are_kept_by_floats_and_clipped_by_codes() -> None:
    scene = np.array([[-0.5, 0.0, 1.0, 2.5, 1e9, np.nan]], np.float32)
    assert to_pixel_format(scene, "float") is scene
    half = to_pixel_format(scene, "half")
    assert half.dtype == np.float16
    assert half[0, :5].tolist() == [-0.5, 0, 1, 2.5, 65504]
    assert np.isnan(half[0, 5])
    assert to_pixel_format(scene, "u8").tolist() == [[0, 0, 255, 255, 255, 0]]
    assert to_pixel_format(half, "u16").tolist() == [[0, 0, 65535, 65535, 65535, 0]]
