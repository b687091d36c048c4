"""Mattes as runs: they come back pixel for pixel, and runs that make up no frame are refused."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mive.errors import RequestError
from mive.media.info import Pixels
from mive.v1 import media_pb2
from mive.wire.formats import FrameLimits
from mive.wire.runs import decode_runs, encode_runs, split_runs

mattes = st.tuples(
    st.integers(1, 5), st.integers(1, 12), st.integers(1, 12), st.sampled_from([np.uint8, np.uint16])
).flatmap(lambda of: arrays.arrays(of[3], of[:3], elements=st.sampled_from([0, 1, 2, 255])))


@given(mattes)
def test_mattes_come_back_pixel_for_pixel(frames: Pixels) -> None:
    data = encode_runs(frames).SerializeToString()
    back = list(decode_runs(media_pb2.MatteRuns.FromString(data)))
    assert np.array_equal(np.stack(back), frames)
    assert back[0].dtype == frames.dtype


def test_a_disc_takes_a_run_for_each_edge() -> None:
    y, x = np.mgrid[:1080, :1920]
    disc = ((x - 960) ** 2 + (y - 540) ** 2 < 400**2).astype(np.uint8)
    runs = encode_runs([disc])
    assert len(runs.frames[0].lengths) == 2 * disc.any(1).sum() + 1
    assert runs.ByteSize() < disc.nbytes / 300


def test_long_mattes_are_split_into_messages_of_whole_frames() -> None:
    frames = [np.random.default_rng(index).integers(0, 3, (20, 20), np.uint8) for index in range(6)]
    parts = list(split_runs(frames, most=1500))
    assert len(parts) > 1
    assert all(part.ByteSize() < 3000 for part in parts)
    back = [frame for part in parts for frame in decode_runs(part)]
    assert np.array_equal(back, frames)


def test_frames_that_differ_are_not_one_matte() -> None:
    with pytest.raises(RequestError, match="differ"):
        encode_runs([np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)])
    with pytest.raises(RequestError, match="no frames"):
        encode_runs([])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"width": 0}, "runs.width"),
        ({"height": 2**32 - 1}, "runs.height"),
        ({"pixel_format": 0}, "runs.pixel_format"),
        ({"pixel_format": 4}, "runs.pixel_format"),
        ({"frames": []}, "runs.frames"),
        ({"frames": [{"lengths": [6], "values": []}]}, "runs.frames[0].values"),
        ({"frames": [{}]}, "runs.frames[0].lengths"),
        ({"frames": [{"lengths": [5], "values": [1]}]}, "runs.frames[0].lengths"),
        ({"frames": [{"lengths": [6, 0], "values": [1, 2]}]}, "runs.frames[0].lengths"),
        ({"frames": [{"lengths": [2**32 - 1] * 9, "values": [1] * 9}]}, "runs.frames[0].lengths"),
        ({"frames": [{"lengths": [6], "values": [1]}, {"lengths": [6], "values": [256]}]}, "runs.frames[1].values"),
    ],
)
def test_runs_that_make_up_no_frame_are_refused_and_nothing_is_allocated(changes: dict[str, Any], field: str) -> None:
    fields = {"width": 3, "height": 2, "pixel_format": 1, "frames": [{"lengths": [6], "values": [1]}], **changes}
    message = media_pb2.MatteRuns(**fields)
    tracemalloc.start()
    try:
        with pytest.raises(RequestError) as caught:
            list(decode_runs(message))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert caught.value.field == field


def test_a_frame_may_not_be_larger_than_the_server_allows() -> None:
    message = encode_runs([np.zeros((20, 20), np.uint16)])
    with pytest.raises(RequestError, match="too large"):
        decode_runs(message, limits=FrameLimits(frame_bytes=799))
