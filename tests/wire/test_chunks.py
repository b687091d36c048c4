"""Frames and uploads in pieces: they come back whole, or are refused with what was expected."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mive.errors import RequestError
from mive.media.info import ColourTags, Pixels
from mive.v1 import media_pb2, mive_pb2
from mive.wire.chunks import (
    CHUNK_BYTES,
    Cursor,
    FrameJoiner,
    begin_upload,
    join_frames,
    split_frame,
    split_upload,
    upload_id_of,
)
from mive.wire.formats import FrameFormat, FrameLimits, format_of

Chunks = list[media_pb2.FrameChunk]

LARGE = FrameFormat(641, 363, 3, "float", "bottom_up", row_bytes=641 * 12 + 20, colour=ColourTags(1, 1, 1))
"""Odd sides, padded rows, last row first, 2.7 MiB: three chunks."""


def picture(layout: FrameFormat) -> Pixels:
    values = np.random.default_rng(3).random(layout.shape, np.float32)
    return (values * 200).astype(layout.dtype)


def chunks_of(layout: FrameFormat, index: int = 5) -> Chunks:
    return list(split_frame(index, picture(layout), layout))


def test_a_large_frame_travels_in_chunks_of_at_most_1_mib() -> None:
    chunks = chunks_of(LARGE)
    assert [len(chunk.data) for chunk in chunks] == [CHUNK_BYTES, CHUNK_BYTES, LARGE.size - 2 * CHUNK_BYTES]
    assert [chunk.HasField("header") for chunk in chunks] == [True, False, False]
    assert chunks[0].header.size == LARGE.size
    (frame,) = join_frames(chunks)
    assert (frame.index, frame.format) == (5, LARGE)
    assert (frame.pixels == picture(LARGE)).all()


@given(
    width=st.integers(1, 40),
    height=st.integers(1, 20),
    channels=st.sampled_from([1, 3, 4]),
    pixel_format=st.sampled_from(["u8", "u16", "half", "float"]),
    row_order=st.sampled_from(["top_down", "bottom_up"]),
    padding=st.integers(0, 3),
    indices=st.lists(st.integers(0, 2**32 - 1), max_size=4),
)
def test_frames_of_every_format_come_back_in_the_order_they_were_sent(
    padding: int, indices: list[int], **fields: Any
) -> None:
    layout = FrameFormat(**fields)
    item = layout.dtype.itemsize
    layout = FrameFormat(**fields, row_bytes=layout.tight + padding * item if padding else 0)
    sent = [chunk for index in indices for chunk in split_frame(index, picture(layout), layout)]
    wire = [media_pb2.FrameChunk.FromString(chunk.SerializeToString()) for chunk in sent]
    arrived = list(join_frames(wire))
    assert [frame.index for frame in arrived] == indices
    assert all((frame.pixels == picture(layout)).all() for frame in arrived)


def drop(index: int) -> Callable[[Chunks], object]:
    return lambda chunks: chunks.pop(index)


def change(index: int, **fields: Any) -> Callable[[Chunks], object]:
    return lambda chunks: [setattr(chunks[index], name, value) for name, value in fields.items()]


def declare(**fields: Any) -> Callable[[Chunks], object]:
    return lambda chunks: chunks[0].header.MergeFrom(media_pb2.FrameHeader(**fields))


WRONG = [
    pytest.param(drop(0), "chunk.header", id="no header"),
    pytest.param(drop(1), "chunk.offset", id="a gap"),
    pytest.param(drop(2), "chunk.data", id="truncated"),
    pytest.param(lambda chunks: chunks.insert(1, chunks[1]), "chunk.offset", id="the same chunk twice"),
    pytest.param(lambda chunks: chunks.reverse(), "chunk.header", id="backwards"),
    pytest.param(change(1, offset=CHUNK_BYTES - 1), "chunk.offset", id="overlapping"),
    pytest.param(change(1, offset=2**64 - 1), "chunk.offset", id="far away"),
    pytest.param(change(2, data=bytes(CHUNK_BYTES)), "chunk.data", id="more than declared"),
    pytest.param(change(1, data=bytes(CHUNK_BYTES + 1)), "chunk.data", id="more than 1 MiB in a chunk"),
    pytest.param(change(1, data=b""), "chunk.data", id="an empty chunk"),
    pytest.param(lambda chunks: chunks[1].ClearField("body"), "chunk.data", id="no body"),
    pytest.param(change(1, frame=6), "chunk.frame", id="frames mixed"),
    pytest.param(declare(size=1), "chunk.header.size", id="size and format differ"),
    pytest.param(declare(format={"height": 400}), "chunk.header.size", id="another height"),
    pytest.param(declare(format={"width": 2**31}), "header.format.width", id="a huge frame"),
    pytest.param(lambda chunks: chunks[1].header.CopyFrom(chunks[0].header), "chunk.data", id="a header in the middle"),
    pytest.param(lambda chunks: chunks[1].region.CopyFrom(media_pb2.RegionSlice()), "chunk.region", id="a region"),
]


@pytest.mark.parametrize(("spoil", "field"), WRONG)
def test_spoilt_streams_are_refused(spoil: Callable[[Chunks], object], field: str) -> None:
    chunks = chunks_of(LARGE)
    spoil(chunks)
    with pytest.raises(RequestError) as caught:
        list(join_frames(chunks))
    assert caught.value.field == field
    assert caught.value.expected
    assert caught.value.fix


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.binary(max_size=30)), max_size=6))
def test_no_order_of_small_chunks_ends_in_anything_but_frames_or_a_request_error(parts: list[Any]) -> None:
    head = chunks_of(FrameFormat(4, 3, 3, "u8"))[0]
    stream = [head if not kind else media_pb2.FrameChunk(frame=5, offset=at, data=data) for kind, at, data in parts]
    with contextlib.suppress(RequestError):
        frames = list(join_frames(stream))
        assert all(frame.pixels.tobytes() == head.data for frame in frames)


def test_sizes_are_checked_before_anything_is_allocated() -> None:
    layout = FrameFormat(7680, 4320, 3, "float")
    head = media_pb2.FrameChunk(
        header={"format": {"width": 7680, "height": 4320, "channels": 3, "pixel_format": 4, "row_order": 1}}, data=b"x"
    )
    for size, limits in ((layout.size - 1, FrameLimits()), (layout.size, FrameLimits(frame_bytes=layout.size - 1))):
        head.header.size = size
        tracemalloc.start()
        try:
            with pytest.raises(RequestError):
                FrameJoiner(limits=limits).add(head)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.slow
def test_an_8k_float_frame_passes() -> None:
    layout = FrameFormat(7680, 4320, 3, "float")
    pixels = np.zeros(layout.shape, np.float32)
    pixels[-1, -1] = (0.25, 0.5, 1e6)
    (frame,) = join_frames(split_frame(0, pixels, layout))
    assert np.array_equal(frame.pixels, pixels)


def test_a_frame_in_shared_memory_is_read_where_it_lies() -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    chunk = next(split_frame(9, pixels, format_of(pixels)))
    chunk.region.CopyFrom(media_pb2.RegionSlice(region_id="r", offset=16, size=60))
    memory = bytes(16) + pixels.tobytes()
    (frame,) = join_frames([chunk], read_region=lambda part: memory[part.offset : part.offset + part.size])
    assert (frame.pixels == pixels).all()
    chunk.region.size = 59
    with pytest.raises(RequestError, match=r"region.size.*60 bytes"):
        list(join_frames([chunk], read_region=lambda part: memory))


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_damaged_frame_is_noticed(where: str) -> None:
    """One bit of one byte, wherever it lies; padding is sent, so it counts too."""
    chunks = chunks_of(LARGE)
    chunk, place = {"first": (0, 0), "middle": (1, 4711), "last": (2, -1)}[where]
    data = bytearray(chunks[chunk].data)
    data[place] ^= 16
    chunks[chunk].data = bytes(data)
    with pytest.raises(RequestError, match="frame 5 was damaged on its way"):
        list(join_frames(chunks))


def test_a_frame_that_changes_in_shared_memory_is_noticed() -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    chunk = next(split_frame(9, pixels, format_of(pixels)))
    chunk.region.CopyFrom(media_pb2.RegionSlice(region_id="r", size=60))
    with pytest.raises(RequestError, match="frame 9 was damaged"):
        list(join_frames([chunk], read_region=lambda part: bytes(60)))


def test_a_server_of_before_sends_no_hash() -> None:
    chunks = chunks_of(LARGE)
    chunks[0].header.ClearField("xxh3")
    (frame,) = join_frames(chunks)
    assert (frame.pixels == picture(LARGE)).all()


CONTENT = np.random.default_rng(1).bytes(2 * CHUNK_BYTES + 77)
ID = upload_id_of(CONTENT)


def receive(messages: list[mive_pb2.UploadRequest], received: bytes = b"") -> bytes:
    """What a server does with an upload stream."""
    cursor = begin_upload(messages[0].header, received=len(received), most=1 << 30)
    for message in messages[1:]:
        cursor.accept(message.chunk.offset, len(message.chunk.data))
        received += message.chunk.data
    cursor.finish()
    return received


def test_an_upload_comes_back_however_it_was_cut() -> None:
    whole = list(split_upload(ID, len(CONTENT), [CONTENT]))
    assert [len(message.chunk.data) for message in whole[1:]] == [CHUNK_BYTES, CHUNK_BYTES, 77]
    assert receive(whole) == CONTENT
    pieces = [CONTENT[:10], CONTENT[10:CHUNK_BYTES], CONTENT[CHUNK_BYTES:]]
    assert upload_id_of(receive(list(split_upload(ID, len(CONTENT), pieces)))) == ID


def test_an_upload_goes_on_where_it_broke_off() -> None:
    there = CONTENT[:1234567]
    rest = list(split_upload(ID, len(CONTENT), [CONTENT[len(there) :]], offset=len(there)))
    assert receive(rest, there) == CONTENT


@pytest.mark.parametrize(
    ("header", "received", "field"),
    [
        ({"upload_id": "../../etc/passwd", "size": 5}, 0, "header.upload_id"),
        ({"upload_id": ID.upper(), "size": 5}, 0, "header.upload_id"),
        ({"upload_id": ID + "\n", "size": 5}, 0, "header.upload_id"),
        ({"upload_id": ID, "size": 0}, 0, "header.size"),
        ({"upload_id": ID, "size": 2**64 - 1}, 0, "header.size"),
        ({"upload_id": ID, "size": 5}, 6, "header.size"),
        ({"upload_id": ID, "size": 50, "offset": 4}, 5, "header.offset"),
    ],
)
def test_wrong_upload_headers_are_refused(header: dict[str, Any], received: int, field: str) -> None:
    with pytest.raises(RequestError) as caught:
        begin_upload(mive_pb2.UploadHeader(**header), received=received, most=1 << 30)
    assert caught.value.field == field


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8))
def test_a_cursor_takes_each_byte_once_and_in_order(parts: list[tuple[int, int]]) -> None:
    cursor, taken = Cursor(50), 0
    for offset, length in parts:
        fits = offset == taken and length >= 1 and offset + length <= 50
        if fits:
            cursor.accept(offset, length)
            taken += length
        else:
            with pytest.raises(RequestError):
                cursor.accept(offset, length)
    assert (cursor.received, cursor.complete) == (taken, taken == 50)
