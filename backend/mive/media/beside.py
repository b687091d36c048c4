"""Carrying what lies beside a clip's pictures into an output: copied as it is, or re-encoded where it must be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.subtitles.stream import SubtitleStream

from mive.errors import OutputError
from mive.media.containers import open_container
from mive.media.extras import reel_of, tags_to_keep
from mive.media.holding import Holding
from mive.media.info import ClipInfo
from mive.media.told import Warnings

if TYPE_CHECKING:
    from av.container.core import Chapter

    from mive.request import FrameRange

_BY_COUNT = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")


Track = AudioStream | SubtitleStream


class Beside:
    """What lies beside the pictures of a clip, over a range of its frames: sound, subtitles, chapters, names.

    A track that the container can hold is copied packet by packet (so the cut falls on packet
    borders, some 20 ms apart, and stays in step with the picture); any other sound is decoded, cut
    to the sample and encoded as AAC.

    Args:
        output: where it is added; its header is not written yet.
        holding: what the output holds.
        warnings: receives a line for every track that cannot be carried.
    """

    def __init__(
        self, info: ClipInfo, frames: FrameRange, output: OutputContainer, holding: Holding, warnings: Warnings
    ) -> None:
        self._output = output
        self._start = info.start + info.time_of(frames.first)
        self._end = info.start + info.time_of(frames.last + 1)
        # Edit lists of MP4 and MOV hide what a codec needs to warm up; other containers would
        # play it, or shift the picture.
        self._keep_warm_up = frames.first == 0 and output.format.name in ("mp4", "mov")
        self._source = open_container(info.path)
        self._wanted: list[Track] = []
        self._copied: dict[int, Track] = {}
        self._encoded: dict[int, AudioStream] = {}
        for stream in self._source.streams.audio:
            self._add(stream, warnings)
        for subtitles in self._source.streams.subtitles:
            self._add_subtitles(subtitles, warnings)
        self._name(holding)
        if frames.first > 0:
            self._source.seek(math.floor(self._start * av.time_base))
        self._packets: Iterator[Packet[Any]] = self._source.demux(tuple(self._wanted)) if self._wanted else iter(())
        self._held: Packet[Any] | None = None

    def _name(self, holding: Holding) -> None:
        self._output.metadata.update(tags_to_keep(self._source))
        if "reel" in holding.kinds and (reel := reel_of(self._source)):
            self._output.streams.video[0].metadata["reel_name"] = reel
        chapters = [cut for chapter in self._source.chapters() if (cut := self._cut_chapter(chapter))]
        if chapters:
            self._output.set_chapters(chapters)

    def _cut_chapter(self, chapter: Chapter) -> Chapter | None:
        unit = chapter["time_base"]
        assert unit is not None
        first, last = (max(chapter[end] * unit, self._start) for end in ("start", "end"))
        last = min(last, self._end)
        if last <= first:
            return None
        return {
            **chapter, "start": round((first - self._start) / unit), "end": round((last - self._start) / unit),
        }  # fmt: skip

    def _add_subtitles(self, stream: SubtitleStream, warnings: Warnings) -> None:
        # Every container has its own kinds of them, and says no only when the header is written.
        text = getattr(stream.codec_context, "name", "")
        quicktime = self._output.format.name in ("mp4", "mov")
        if (text == "mov_text") != quicktime:
            warnings.tell(
                f"The subtitles of track {stream.index} ({text or 'unknown'}) do not fit the output and were left out",
                error=OutputError,
            )
            return
        self._copied[stream.index] = target = self._output.add_stream_from_template(stream)
        self._wanted.append(stream)
        if stream.language:
            target.metadata["language"] = stream.language

    def _add(self, stream: AudioStream, warnings: Warnings) -> None:
        if getattr(stream, "codec_context", None) is None:
            warnings.tell(f"Audio track {stream.index} has no known codec and was left out", error=OutputError)
            return
        try:
            target = self._output.add_stream_from_template(stream)
            self._copied[stream.index] = target
        except ValueError:
            if stream.layout.nb_channels > len(_BY_COUNT):
                warnings.tell(
                    f"Audio track {stream.index} has {stream.layout.nb_channels} channels, more "
                    "than AAC holds, and was left out",
                    error=OutputError,
                    fix="Write .mov or .mkv to keep it",
                )
                return
            target = self._output.add_stream("aac", rate=stream.sample_rate)
            target.codec_context.layout = _layout(stream)
            self._encoded[stream.index] = target
        self._wanted.append(stream)
        if stream.language:
            target.metadata["language"] = stream.language

    def copy_until(self, time: Fraction | None) -> None:
        """Write what starts within ``time`` seconds of the range's start (None: all of it).

        Raises:
            OSError, av.error.FFmpegError: the output cannot be written.
        """
        while True:
            packet = self._held or next(self._packets, None)
            self._held = None
            if packet is None:
                return
            if packet.pts is None or packet.time_base is None:
                continue
            begins = packet.pts * packet.time_base
            if time is not None and begins >= self._start + time:
                self._held = packet
                return
            if packet.stream.index in self._copied:
                self._copy(packet, begins)
            else:
                self._encode(packet)

    def finish(self) -> None:
        """Write what is left and flush the encoders."""
        self.copy_until(None)
        for stream in self._wanted:
            target = self._encoded.get(stream.index)
            if target is None:
                continue
            for frame in cast("Iterable[AudioFrame]", stream.decode(None)):
                self._encode_frame(frame, target)
            self._output.mux(target.encode(None))

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _copy(self, packet: Packet[Any], begins: Fraction) -> None:
        if begins >= self._end or (begins < self._start and not self._keep_warm_up):
            return
        assert packet.time_base is not None
        assert packet.pts is not None
        shift = round(self._start / packet.time_base)
        target = self._copied[packet.stream.index]
        packet.pts -= shift
        if packet.dts is not None:
            packet.dts -= shift
        packet.stream = target
        self._output.mux(packet)

    def _encode(self, packet: Packet[Any]) -> None:
        target = self._encoded[packet.stream.index]
        try:
            frames = cast("Iterable[AudioFrame]", packet.decode())
        except av.error.InvalidDataError:
            return
        for frame in frames:
            self._encode_frame(frame, target)

    def _encode_frame(self, frame: AudioFrame, target: AudioStream) -> None:
        if frame.pts is None or frame.time_base is None:
            return
        begins = frame.pts * frame.time_base
        rate = frame.sample_rate
        first = max(0, math.ceil((self._start - begins) * rate))
        last = min(frame.samples, math.floor((self._end - begins) * rate))
        if last <= first:
            return
        cut = _slice(frame, first, last, target.codec_context.layout.name)
        cut.pts = max(0, round((begins - self._start) * rate) + first)
        cut.time_base = Fraction(1, rate)
        self._output.mux(target.encode(cut))


def _layout(stream: AudioStream) -> str:
    # Old containers count channels without naming them, which an encoder does not take.
    unnamed = stream.layout.name.endswith(" channels")
    return _BY_COUNT[stream.layout.nb_channels - 1] if unnamed else stream.layout.name


def _slice(frame: AudioFrame, first: int, last: int, layout: str) -> AudioFrame:
    samples = frame.to_ndarray()
    width = 1 if frame.format.is_planar else AudioLayout(layout).nb_channels
    cut: npt.NDArray[Any] = np.ascontiguousarray(samples[:, first * width : last * width])
    sliced = AudioFrame.from_ndarray(cut, format=frame.format.name, layout=layout)
    sliced.sample_rate = frame.sample_rate
    return sliced
