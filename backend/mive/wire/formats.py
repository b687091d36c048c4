"""How a frame lies in memory: its format as a message, its pixels as bytes, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from mive.base.samples import BY_NAME, SAMPLES, DType, PixelFormat, listed, sample_of
from mive.errors import RequestError
from mive.media.info import ColourTags, Pixels
from mive.media.paste import to_depth
from mive.v1 import media_pb2
from mive.wire.clip import colour_from_message, colour_to_message
from mive.wire.words import PIXEL_FORMAT, number_of, word_of

Data = bytes | bytearray | memoryview
"""Bytes in one piece."""

RowOrder = Literal["top_down", "bottom_up"]

_ROW_ORDER = media_pb2.DESCRIPTOR.enum_types_by_name["RowOrder"]


@dataclass(frozen=True)
class FrameLimits:
    """What a frame may be at most.

    Attributes:
        side: pixels of its longer side.
        frame_bytes: bytes, padding of rows included. The default takes 8K float RGBA twice over.
    """

    side: int = 16384
    frame_bytes: int = 1 << 30


LIMITS: Final = FrameLimits()


@dataclass(frozen=True)
class FrameFormat:
    """How a frame lies in memory.

    Attributes:
        width, height: in pixels.
        channels: 1 (a matte), 3 (RGB) or 4 (RGBA).
        pixel_format: type of a sample.
        row_order: which row comes first.
        row_bytes: bytes from one row to the next; 0 means as many as the pixels take.
        colour: how the samples code colour; None for mattes.
    """

    width: int
    height: int
    channels: int
    pixel_format: PixelFormat
    row_order: RowOrder = "top_down"
    row_bytes: int = 0
    colour: ColourTags | None = None

    @property
    def dtype(self) -> DType:
        """Of a sample."""
        return BY_NAME[self.pixel_format].dtype

    @property
    def tight(self) -> int:
        """Bytes that the pixels of a row take."""
        return self.width * self.channels * self.dtype.itemsize

    @property
    def stride(self) -> int:
        """Bytes from one row to the next."""
        return self.row_bytes or self.tight

    @property
    def size(self) -> int:
        """Bytes of a frame."""
        return self.stride * self.height

    @property
    def shape(self) -> tuple[int, ...]:
        """``(H, W)`` of a matte, ``(H, W, channels)`` of a picture."""
        return (self.height, self.width) if self.channels == 1 else (self.height, self.width, self.channels)


def format_of(frame: Pixels, *, colour: ColourTags | None = None, row_order: RowOrder = "top_down") -> FrameFormat:
    """The tight format of a frame ``[H, W]`` or ``[H, W, C]`` of uint8, uint16, float16 or float32."""
    channels = 1 if frame.ndim == 2 else frame.shape[2]
    return FrameFormat(frame.shape[1], frame.shape[0], channels, sample_of(frame.dtype).name, row_order, colour=colour)


def format_to_message(frame: FrameFormat) -> media_pb2.FrameFormat:
    """The format as a message."""
    return media_pb2.FrameFormat(
        width=frame.width,
        height=frame.height,
        channels=frame.channels,
        pixel_format=pixel_format_to_message(frame.pixel_format),
        row_order=media_pb2.RowOrder.ValueType(number_of(_ROW_ORDER, frame.row_order)),
        row_bytes=frame.row_bytes,
        colour=None if frame.colour is None else colour_to_message(frame.colour),
    )


def format_from_message(
    message: media_pb2.FrameFormat, *, limits: FrameLimits = LIMITS, at: str = "format"
) -> FrameFormat:
    """The format that a message declares, checked so that :attr:`FrameFormat.size` can be allocated.

    Raises:
        RequestError: it says too little, contradicts itself, or exceeds ``limits``.
    """
    check_sides(message.width, message.height, limits, at)
    if message.channels not in (1, 3, 4):
        raise _wrong(at, "channels", f"{message.channels} channels", "1 (a matte), 3 (RGB) or 4 (RGBA)")
    frame = FrameFormat(
        message.width,
        message.height,
        message.channels,
        pixel_format_from_message(message.pixel_format, at),
        row_order_from_message(message.row_order, at),
        message.row_bytes,
        colour_from_message(message.colour) if message.HasField("colour") else None,
    )
    if frame.stride < frame.tight or frame.stride % frame.dtype.itemsize:
        expected = f"0, or whole samples of {frame.tight} bytes or more"
        raise _wrong(at, "row_bytes", f"rows of {frame.row_bytes} bytes", expected)
    if frame.size > limits.frame_bytes:
        raise _wrong(at, "row_bytes", f"a frame of {frame.size} bytes", f"at most {limits.frame_bytes} bytes")
    return frame


def check_sides(width: int, height: int, limits: FrameLimits, at: str) -> None:
    """Refuses empty and oversized frames.

    Raises:
        RequestError: a side is 0, or longer than ``limits.side``.
    """
    for name, side in (("width", width), ("height", height)):
        if not 1 <= side <= limits.side:
            raise _wrong(at, name, f"a {name} of {side} pixels", f"1 to {limits.side} pixels")


def pixel_format_to_message(pixel_format: PixelFormat) -> media_pb2.PixelFormat.ValueType:
    """``"half"`` as ``PIXEL_FORMAT_HALF``."""
    return media_pb2.PixelFormat.ValueType(number_of(PIXEL_FORMAT, pixel_format))


def pixel_format_from_message(number: int, at: str) -> PixelFormat:
    """``PIXEL_FORMAT_HALF`` as ``"half"``.

    Raises:
        RequestError: it is none of those that MIVE knows.
    """
    word = word_of(PIXEL_FORMAT, number)
    for name in BY_NAME:
        if name == word:
            return name
    raise _wrong(at, "pixel_format", f"the pixel format is {word or 'not given'}", listed(SAMPLES))


def row_order_from_message(number: int, at: str) -> RowOrder:
    """``ROW_ORDER_BOTTOM_UP`` as ``"bottom_up"``.

    Raises:
        RequestError: it is neither of the two.
    """
    match word := word_of(_ROW_ORDER, number):
        case "top_down" | "bottom_up":
            return word
    raise _wrong(at, "row_order", f"the row order is {word or 'not given'}", "TOP_DOWN or BOTTOM_UP")


def pack(frame: Pixels, layout: FrameFormat) -> memoryview:
    """The bytes of a frame, top row first in ``frame``, as ``layout`` wants them.

    Without a copy where the frame lies in memory that way already. Padding is zeros.

    Args:
        frame: ``[H, W]`` or ``[H, W, C]``, of any strides.

    Raises:
        RequestError: the frame is not of that size or type.
    """
    dtype = layout.dtype
    if frame.shape != layout.shape or frame.dtype != dtype:
        raise RequestError(
            f"the frame is {_described(frame.shape, frame.dtype)}",
            expected=_described(layout.shape, dtype),
            fix="Convert the frame, or declare another format",
            field="format",
        )
    rows = frame if layout.row_order == "top_down" else frame[::-1]
    if layout.stride == layout.tight:
        return np.ascontiguousarray(rows, dtype).data.cast("B")
    buffer = np.zeros((layout.height, layout.stride), np.uint8)
    _view(buffer, layout)[...] = rows
    return buffer.data.cast("B")


def unpack(data: Data, layout: FrameFormat) -> Pixels:
    """The frame, top row first, that ``data`` holds: ``[H, W]`` or ``[H, W, C]``.

    A view of ``data``, whatever the row order and padding; writable where ``data`` is.

    Raises:
        RequestError: ``data`` is not of the format's size.
    """
    size = memoryview(data).nbytes
    if size != layout.size:
        raise RequestError(
            f"the frame has {size} bytes",
            expected=f"{layout.size} bytes",
            fix="Send what the format declares",
            field="format",
        )
    rows = _view(np.frombuffer(data, np.uint8), layout)
    return rows if layout.row_order == "top_down" else rows[::-1]


def to_pixel_format(frame: Pixels, pixel_format: PixelFormat) -> Pixels:
    """The frame in another sample type, rounded to nearest; the same frame where it is of that type.

    Exact from 8 to 16 bits and back, and from either to float and back. Values beyond 0..1 are kept by half and float
    (half ends at ±65504) and clipped by the others, for which NaN is 0.
    """
    sample = BY_NAME[pixel_format]
    if frame.dtype == sample.dtype:
        return frame
    converted = to_depth(frame, sample.depth)
    if converted.dtype == sample.dtype:
        return converted
    ends = np.finfo(sample.dtype)
    return np.clip(converted, ends.min, ends.max).astype(sample.dtype)


def _view(buffer: NDArray[np.uint8], layout: FrameFormat) -> Pixels:
    """``buffer`` as the pixels of ``layout``, first row first."""
    dtype = layout.dtype
    strides = (layout.stride, layout.channels * dtype.itemsize, dtype.itemsize)[: len(layout.shape)]
    return np.ndarray(layout.shape, dtype, buffer, strides=strides)


def _described(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return f"{' x '.join(map(str, shape))} of {dtype.name}"


def _wrong(at: str, name: str, what: str, expected: str) -> RequestError:
    return RequestError(what, expected=expected, fix=f"Correct {name}", field=f"{at}.{name}")
