"""How fast the frames of a video follow each other, who says so, and that each of them is one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from mive.base.rates import shown_rate
from mive.errors import MediaError
from mive.media.video_index import VideoIndex

_WITHOUT_TIMES: Final = ("h264", "hevc", "m4v", "mpegvideo", "mjpeg", "vc1", "dnxhd", "obu", "av1")
"""FFmpeg's names of formats that are a codec's frames and nothing else; it gives them times of its own."""


@dataclass(frozen=True)
class Rate:
    """Frames a second; whether each frame lies on that grid, and whether nothing and nobody says it."""

    rate: Fraction
    constant: bool
    guessed: bool = False


def rate_of(container: InputContainer, stream: VideoStream, index: VideoIndex, said: Fraction | None) -> Rate:
    """The frame rate of a stream.

    Args:
        said: what the user says it is, for files that say nothing.

    Raises:
        MediaError: the file says otherwise.
    """
    name = container.format.name
    if name in _WITHOUT_TIMES or name.endswith("_pipe"):
        coded = said or stream.codec_context.framerate or None
        return Rate(coded or Fraction(25), constant=True, guessed=coded is None)
    found = _by_times(stream, index)
    if said is None or found.rate == said:
        return found
    if found.guessed:
        return Rate(said, constant=True)
    raise MediaError(
        f"the clip has {shown_rate(found.rate)} frames a second by its own times, not {shown_rate(said)}",
        expected="--rate for clips that do not say it, such as images",
        fix="Leave --rate out",
        field="rate",
    )


def _by_times(stream: VideoStream, index: VideoIndex) -> Rate:
    candidates = [rate for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    if index.pts is None or index.count < 2:
        return Rate(candidates[0] if candidates else Fraction(25), constant=True, guessed=not candidates)
    time_base = stream.time_base or Fraction(1, 90000)
    times = np.array(index.pts, dtype=np.float64) * float(time_base)
    times -= times[0]
    places = np.arange(index.count) if index.numbers is None else np.array(index.numbers) - index.numbers[0]
    average = int(places[-1]) / ((index.pts[-1] - index.pts[0]) * time_base)
    candidates += [Fraction(round(rate * 1001), 1001) for rate in (*candidates, average) if rate]
    for rate in candidates:
        if np.abs(times - places / float(rate)).max() <= float(time_base) * 1.01:
            return Rate(rate, constant=index.numbers is None)
    return Rate(average.limit_denominator(100_000), constant=False)


def require_progressive(path: Path, head: Sequence[av.VideoFrame]) -> None:
    """Refuse frames that are made of two moments, each in every other line.

    Raises:
        MediaError: naming what makes whole frames of them.
    """
    if not any(frame.interlaced_frame for frame in head):
        return
    raise MediaError(
        f"{path} is interlaced: each frame holds two moments, each in every other line",
        expected="progressive frames",
        fix=f'Deinterlace it first, such as by "ffmpeg -i {path.name} -vf bwdif -c:v ffv1 -c:a copy whole.mkv". Where '
        "it only calls itself interlaced (25p in 50i), -vf setfield=prog in place of bwdif sets that right",
        field="clip",
    )
