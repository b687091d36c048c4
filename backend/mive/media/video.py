"""Clips in video files, through PyAV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from mive.errors import MediaError
from mive.media import colour
from mive.media.clip import Clip
from mive.media.info import ClipInfo, Pixels
from mive.media.orientation import Orientation, from_display_matrix
from mive.media.reading import Reading
from mive.media.video_index import VideoIndex, decoded, index_video, open_video, seek_before


class VideoClip(Clip):
    """A video file: counted exactly, turned upright, converted to RGB by its colour tags."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self._reading = reading
        container, stream = open_video(path)
        with container:
            # A decoder overwrites the container's tags on its context, so a copy is taken first.
            first = next(decoded(container, stream), None)
        if first is None:
            raise MediaError(
                f"{path} has no frames that can be decoded",
                expected="at least one frame",
                fix="Check that the file plays elsewhere, and export it again if not",
                field="clip",
            )
        self._index = index_video(path)
        self.orientation = _orientation(first)
        self.info = self._describe(path, first)

    def _describe(self, path: Path, first: av.VideoFrame) -> ClipInfo:
        container, stream = open_video(path)
        with container:
            depth, bits = colour.depth_of(first.format)
            time_base = stream.time_base or Fraction(1, 90000)
            rate, constant = _rate(stream, self._index, time_base)
            start = Fraction(0)
            pts = self._index.pts
            if pts is not None:
                start = pts[0] * time_base
            aspect = stream.sample_aspect_ratio or Fraction(1)
            turned = self.orientation.transpose
            return ClipInfo(
                path=path,
                width=first.height if turned else first.width,
                height=first.width if turned else first.height,
                frames=self._index.count,
                rate=rate,
                depth=depth,
                colour=colour.tags_of(stream.codec_context, first),
                timecode=_timecode(container),
                has_audio=bool(container.streams.audio),
                variable_rate=not constant,
                pixel_aspect=1 / aspect if turned else aspect,
                bits=bits,
                start=start,
                pts=None if constant or pts is None else tuple(time - pts[0] for time in pts),
                time_base=None if constant else time_base,
                files=(path,),
            )

    def _decode(self, first: int, last: int) -> Iterator[Pixels]:
        reformatter = VideoReformatter()
        for frame in self.stored_frames(first, last):
            rgb = colour.to_rgb(frame, self.info.colour, self.info.depth, reformatter)
            yield self.orientation.apply(rgb)

    def stored_frames(self, first: int, last: int) -> Iterator[av.VideoFrame]:
        """Frames ``first..last`` as they are stored: own pixel format, not turned upright.

        Raises:
            MediaError: the file no longer holds the frames it was opened with, or one of them
                does not decode.
        """
        pts = self._index.pts
        wanted = first
        for frame in self._from(first):
            if pts is not None and frame.pts != pts[wanted]:
                break
            yield frame
            wanted += 1
            if wanted > last:
                return
        raise MediaError(
            f"Frame {wanted} of {self.info.path} cannot be decoded",
            expected=f"{self.info.frames} whole frames",
            fix="Export the clip again, or leave the frame out with --frames",
        )

    def _from(self, first: int) -> Iterator[av.VideoFrame]:
        pts = self._index.pts
        if pts is None:
            container, stream = open_video(self.info.path)
            with container:
                yield from islice(decoded(container, stream), first, None)
            return
        for seek in (True, False):
            container, stream = open_video(self.info.path)
            with container:
                sought = seek and seek_before(container, stream, self._index, pts[first])
                frames = decoded(container, stream)
                head = next(frames, None)
                # A container may seek too far; then everything is read from the start.
                if sought and (head is None or head.pts is None or head.pts > pts[first]):
                    continue
                for frame in chain([head] if head else [], frames):
                    if frame.pts is not None and frame.pts >= pts[first]:
                        yield frame
                return


def _orientation(frame: av.VideoFrame) -> Orientation:
    # PyAV's stubs only know the motion vectors among the side data.
    side_data = cast("Mapping[str, bytes]", frame.side_data)
    if "DISPLAYMATRIX" not in side_data:
        return Orientation()
    return from_display_matrix(bytes(side_data["DISPLAYMATRIX"]))


def _rate(stream: VideoStream, index: VideoIndex, time_base: Fraction) -> tuple[Fraction, bool]:
    """The frame rate, and whether every frame lies on its grid to within the file's clock."""
    candidates = [rate for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    if index.pts is None or index.count < 2:
        return (candidates[0] if candidates else Fraction(25)), True
    times = np.array(index.pts, dtype=np.float64) * float(time_base)
    times -= times[0]
    average = (index.count - 1) / ((index.pts[-1] - index.pts[0]) * time_base)
    candidates += [Fraction(round(rate * 1001), 1001) for rate in (*candidates, average) if rate]
    for rate in candidates:
        grid = np.arange(index.count) / float(rate)
        if np.abs(times - grid).max() <= float(time_base) * 1.01:
            return rate, True
    return average.limit_denominator(100_000), False


def _timecode(container: av.container.InputContainer) -> str | None:
    places = [stream.metadata for stream in container.streams] + [container.metadata]
    for metadata in places:
        for key, value in metadata.items():
            if key.lower() == "timecode":
                return value
    return None
