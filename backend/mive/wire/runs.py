"""Mattes as runs of equal pixels, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from mive.base.samples import BY_NAME, INTEGERS, Sample, listed, white
from mive.errors import RequestError
from mive.media.info import Pixels
from mive.v1 import media_pb2
from mive.wire.formats import (
    LIMITS,
    FrameLimits,
    check_sides,
    format_of,
    pixel_format_from_message,
    pixel_format_to_message,
)

UPLOAD_BYTES = 1 << 20
"""About as many bytes of runs go into one upload."""


def encode_runs(frames: Iterable[Pixels]) -> media_pb2.MatteRuns:
    """The frames ``[H, W]`` of uint8 or uint16, all of one size and type, as one message.

    Raises:
        RequestError: there are none, or they differ.
    """
    parts = list(split_runs(frames, most=None))
    if not parts:
        raise RequestError("there are no frames", expected="1 or more", fix="Give the matte's frames", field="runs")
    return parts[0]


def split_runs(frames: Iterable[Pixels], *, most: int | None = UPLOAD_BYTES) -> Iterator[media_pb2.MatteRuns]:
    """The frames as messages of whole frames that end after about ``most`` bytes, for uploads.

    Raises:
        RequestError: they differ in size or type.
    """
    runs: media_pb2.MatteRuns | None = None
    first: Pixels | None = None
    size = 0
    for frame in frames:
        if first is None:
            first = frame
        elif frame.shape != first.shape or frame.dtype != first.dtype:
            fix = "Give frames of one size and type"
            raise RequestError("the frames differ", expected="all like the first", fix=fix, field="runs")
        if runs is None:
            layout = format_of(first)
            kind = pixel_format_to_message(layout.pixel_format)
            runs = media_pb2.MatteRuns(width=layout.width, height=layout.height, pixel_format=kind)
            size = 0
        runs.frames.append(_encode(frame))
        size += runs.frames[-1].ByteSize()
        if most is not None and size >= most:
            yield runs
            runs = None
    if runs is not None:
        yield runs


def decode_runs(message: media_pb2.MatteRuns, *, limits: FrameLimits = LIMITS, at: str = "runs") -> Iterator[Pixels]:
    """The frames ``[H, W]`` of uint8 or uint16, one at a time.

    Raises:
        RequestError: as `check_runs`; nothing of the declared size is allocated before its runs are known to add up.
    """
    sample = BY_NAME[pixel_format_from_message(message.pixel_format, at)]
    shape = (message.height, message.width)
    checked = check_runs(message, limits=limits, at=at)
    return (np.repeat(runs[:, 1].astype(sample.dtype), runs[:, 0]).reshape(shape) for runs in checked)


def check_runs(
    message: media_pb2.MatteRuns, *, limits: FrameLimits = LIMITS, at: str = "runs"
) -> Iterator[NDArray[np.uint32]]:
    """The runs of each frame, ``[N, 2]``: how long each is, and its value. They take as much memory as the message.

    Raises:
        RequestError: before the first frame where size or type are wrong, else at the frame whose runs do not make up
            one.
    """
    check_sides(message.width, message.height, limits, at)
    sample = BY_NAME[pixel_format_from_message(message.pixel_format, at)]
    if sample.is_float:
        raise _wrong(f"{at}.pixel_format", f"values are {sample.name}", listed(INTEGERS))
    if not message.frames:
        raise _wrong(f"{at}.frames", "there are no frames", "1 or more")
    if message.width * message.height * sample.dtype.itemsize > limits.frame_bytes:
        raise _wrong(f"{at}.width", "the frames are too large", f"at most {limits.frame_bytes} bytes")
    return (_check(message, index, sample, f"{at}.frames[{index}]") for index in range(len(message.frames)))


def _encode(frame: Pixels) -> media_pb2.RunFrame:
    flat = frame.ravel()
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = np.diff(starts, append=flat.size)
    return media_pb2.RunFrame(lengths=lengths.tolist(), values=flat[starts].tolist())


def _check(message: media_pb2.MatteRuns, index: int, sample: Sample, at: str) -> NDArray[np.uint32]:
    frame, pixels = message.frames[index], message.width * message.height
    if len(frame.lengths) != len(frame.values):
        what = f"there are {len(frame.lengths)} lengths and {len(frame.values)} values"
        raise _wrong(f"{at}.values", what, "as many values as lengths")
    lengths = np.array(frame.lengths, np.int64)
    values = np.array(frame.values, np.int64)
    if not lengths.size or lengths.min() < 1 or int(lengths.sum()) != pixels:
        raise _wrong(
            f"{at}.lengths", f"the runs make up {int(lengths.sum())} pixels", f"{pixels}, in runs of 1 or more"
        )
    if values.max() > (most := white(sample.dtype)):
        raise _wrong(f"{at}.values", f"a value of {int(values.max())}", f"at most {most}")
    return np.stack((lengths, values), axis=1).astype(np.uint32)


def _wrong(field: str, what: str, expected: str) -> RequestError:
    return RequestError(what, expected=expected, fix="Correct the runs, or send the frames as they are", field=field)
