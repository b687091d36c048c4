"""Clips in video files, through PyAV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
from av.video.reformatter import VideoReformatter

from mive.errors import MediaError
from mive.media import colour
from mive.media.asked import Reading
from mive.media.clip import Clip
from mive.media.extras import extras_of_video
from mive.media.info import ClipInfo, Pixels
from mive.media.orientation import Orientation, from_display_matrix
from mive.media.runs import shown_numbers
from mive.media.timing import rate_of, require_progressive
from mive.media.tracks import holds_alpha, open_video
from mive.media.video_index import decoded, index_video, seek_before

if TYPE_CHECKING:
    from mive.request import FrameRange

_BEYOND = 0.01
"""The share of a frame's pixels beyond the nominal range that is no accident."""
_LOOKED_AT = 8
"""Frames that a clip is judged by when it is opened."""


class VideoClip(Clip):
    """A video file: counted exactly, turned upright, converted to RGB by its colour tags."""

    def __init__(self, path: Path, reading: Reading) -> None:
        super().__init__()
        self.reading = reading
        self._damaged: list[int] = []
        container, stream = open_video(path, reading.layer)
        with container:
            # A decoder overwrites the container's tags on its context, so a copy is taken first.
            head = list(islice(decoded(container, stream), _LOOKED_AT))
        if not head:
            raise MediaError(
                f"{path} has no frames that can be decoded",
                expected="at least one frame",
                fix="Check that the file plays elsewhere, and export it again if not",
                field="clip",
            )
        self._index = index_video(path, reading.layer)
        self.orientation = _orientation(head[0])
        self.info = self._describe(path, head[0])
        self._tell(head)

    def _describe(self, path: Path, first: av.VideoFrame) -> ClipInfo:
        container, stream = open_video(path, self.reading.layer)
        with container:
            self.codec = stream.codec_context.codec.canonical_name
            depth, bits = colour.depth_of(first.format)
            self._hides_alpha = holds_alpha(stream) and not colour.has_alpha(first.format)
            time_base = stream.time_base or Fraction(1, 90000)
            rate = rate_of(container, stream, self._index, self.reading.rate)
            pts = self._index.pts
            aspect = stream.sample_aspect_ratio or Fraction(1)
            turned = self.orientation.transpose
            return ClipInfo(
                path=path,
                width=first.height if turned else first.width,
                height=first.width if turned else first.height,
                frames=self._index.count,
                rate=rate.rate,
                rate_guessed=rate.guessed,
                depth=depth,
                colour=colour.tags_of(stream.codec_context, first),
                timecode=_timecode(container),
                has_audio=bool(container.streams.audio),
                variable_rate=not rate.constant,
                pixel_aspect=1 / aspect if turned else aspect,
                bits=bits,
                start=Fraction(0) if pts is None else pts[0] * time_base,
                pts=None if rate.constant or pts is None else tuple(time - pts[0] for time in pts),
                time_base=None if rate.constant else time_base,
                files=(path,),
                numbers=self._index.numbers,
                extras=tuple(extras_of_video(container, stream, first)),
                chroma=colour.chroma_of(first.format),
            )

    def _tell(self, head: Sequence[av.VideoFrame]) -> None:
        path, warnings = self.info.path, self.reading.warnings
        require_progressive(path, head)
        if self.reading.matte and self._hides_alpha:
            raise MediaError(
                f"{path} says that it has alpha, which cannot be read",
                expected="alpha in ProRes 4444, FFV1, VP8, VP9, PNG or EXR",
                fix="Export the matte in one of these, or as white on black",
            )
        for doubt in self._index.doubts:
            warnings.tell(f"{path} {doubt}")
        for number, frame in enumerate(head):
            self._look(frame, number)
        beyond = max(colour.beyond_nominal(frame, self.info.colour) for frame in head)
        if beyond > _BEYOND and not self.reading.matte:
            warnings.tell(
                f"{path} has codes above white or below black in {100 * beyond:.2g} % of a frame; they are clipped, "
                "outside the mattes too",
                fix="Bring the picture within the nominal range first if they matter",
            )

    def _look(self, frame: av.VideoFrame, index: int) -> None:
        """Tell of a frame that the decoder patched up."""
        if frame.is_corrupt and index not in self._damaged:
            self._damaged.append(index)
            text = f"{self.info.path} is damaged: its frames {shown_numbers(sorted(self._damaged))} decode with errors"
            self.reading.warnings.tell(text, about=f"{self.info.path} decodes")

    def _decode(self, first: int, last: int) -> Iterator[Pixels]:
        reformatter = VideoReformatter()
        for frame in self.stored_frames(first, last):
            rgb = colour.to_rgb(frame, self.info.colour, self.info.depth, reformatter)
            yield self.orientation.apply(rgb)

    def alpha(self, frames: FrameRange) -> Iterator[Pixels]:
        """See `Clip.alpha`."""
        reformatter = VideoReformatter()
        for frame in self.stored_frames(frames.first, frames.last):
            alpha = colour.alpha_of(frame, reformatter)
            if alpha is not None:
                yield self.orientation.apply(alpha)

    def stored_frames(self, first: int, last: int) -> Iterator[av.VideoFrame]:
        """Frames ``first..last`` as they are stored: own pixel format, not turned upright.

        Raises:
            MediaError: the file no longer holds the frames it was opened with, or one of them
                does not decode.
        """
        pts = self._index.pts
        wanted = first
        for frame in self._from(first):
            if self._index.numbers is not None and frame.pts is not None and pts and frame.pts < pts[wanted]:
                continue
            if pts is not None and frame.pts != pts[wanted]:
                break
            self._look(frame, wanted)
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
            container, stream = open_video(self.info.path, self.reading.layer)
            with container:
                yield from islice(decoded(container, stream), first, None)
            return
        for seek in (True, False):
            container, stream = open_video(self.info.path, self.reading.layer)
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


def _timecode(container: av.container.InputContainer) -> str | None:
    places = [stream.metadata for stream in container.streams] + [container.metadata]
    for metadata in places:
        for key, value in metadata.items():
            if key.lower() == "timecode":
                return value
    return None
