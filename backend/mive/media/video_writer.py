"""Video files: H.264, H.265, ProRes and FFV1, with the source's audio, times and tags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.video.reformatter import ColorRange, VideoReformatter

from mive.base.atomic import Staging, output_error
from mive.base.samples import IN_MEMORY, Depth
from mive.errors import OutputError
from mive.media import colour, timecode
from mive.media.audio import AudioTracks
from mive.media.info import ClipInfo, Pixels
from mive.media.writer import FrameWriter, require_not_source
from mive.settings import Codec

if TYPE_CHECKING:
    from mive.request import FrameRange

_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
_DEFAULTS: dict[str, Codec] = {".mp4": "h264", ".mov": "prores", ".mkv": "ffv1"}
_NAMES: dict[str, Codec] = {
    ".h264": "h264",
    ".hevc": "hevc",
    ".h265": "hevc",
    ".prores": "prores",
    ".ffv1": "ffv1",
}


@dataclass(frozen=True)
class Encoding:
    """An encoder as FFmpeg names it, its pixel format, options, and the depth it is fed."""

    encoder: str
    pixel_format: str
    options: dict[str, str]
    depth: Depth


def choose_encoding(codec: Codec, info: ClipInfo) -> Encoding:
    """The encoder for a clip: chroma is halved only where the size allows it without cropping."""
    sample = IN_MEMORY[info.depth]
    if codec == "ffv1":
        # Float samples are in FFV1's version 4, which FFmpeg still calls experimental.
        version = {"level": "4", "strict": "experimental"} if sample.is_float else {}
        return Encoding("ffv1", sample.lossless, {"level": "3", **version}, info.depth)
    if codec == "prores":
        if info.width % 2:
            return Encoding("prores_ks", "yuv444p10le", {"profile": "4444"}, sample.coded)
        return Encoding("prores_ks", "yuv422p10le", {"profile": "hq"}, sample.coded)
    chroma = "444" if info.width % 2 else "422" if info.height % 2 else "420"
    pixel_format = f"yuv{chroma}p" + sample.lossy
    if codec == "hevc":
        options = {"crf": "16", "x265-params": "log-level=none"}
        return Encoding("libx265", pixel_format, options, sample.coded)
    return Encoding("libx264", pixel_format, {"crf": "14"}, sample.coded)


class VideoWriter(FrameWriter):
    """Encodes into a hidden file beside ``out`` and renames it when it is complete."""

    def __init__(self, out: Path, info: ClipInfo, frames: FrameRange, codec: Codec | None = None) -> None:
        suffix = out.suffix.lower()
        named = _NAMES.get(Path(out.stem).suffix.lower())
        self._encoding = choose_encoding(codec or named or _DEFAULTS[suffix], info)
        super().__init__(out, info, frames, self._encoding.depth)
        require_not_source([out], info)
        if out.is_dir():
            raise OutputError(
                f"{out} is a folder",
                expected="a file name",
                fix="Name a file in it, or leave out the suffix to write images",
            )
        self._reformatter = VideoReformatter()
        self._audio: AudioTracks | None = None
        self._staging = Staging(out)
        try:
            self._file = open(self._staging.folder / out.name, "w+b")  # noqa: SIM115
            self._container = av.open(self._file, "w", format=_FORMATS[suffix])  # noqa: TID251
            self._stream = self._add_video()
            if info.has_audio:
                self._audio = AudioTracks(info, frames, self._container, self.warnings)
            self._container.start_encoding()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._discard()
            raise output_error(error, out) from error
        except BaseException:
            self._discard()
            raise

    def _add_video(self) -> av.VideoStream:
        info, encoding = self._info, self._encoding
        stream = self._container.add_stream(
            encoding.encoder,
            rate=info.rate,
            options=encoding.options,
            width=info.width,
            height=info.height,
            time_base=info.time_base or 1 / info.rate,
        )
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = encoding.pixel_format
        context = stream.codec_context
        context.sample_aspect_ratio = info.pixel_aspect
        tags = colour.written_tags(info.colour, encoding.pixel_format, info.width, info.height)
        context.colorspace = tags.matrix
        context.color_primaries = tags.primaries
        context.color_trc = tags.transfer
        context.color_range = ColorRange.JPEG if tags.full_range else ColorRange.MPEG
        if encoding.encoder == "libx265" and self.out.suffix.lower() != ".mkv":
            stream.codec_tag = "hvc1"
        if info.timecode:
            start = timecode.advance(info.timecode, self._frames.first, info.rate)
            stream.metadata["timecode"] = start
        return stream

    def _write(self, frame: Pixels, number: int) -> None:
        info = self._info
        pixel_format = self._encoding.pixel_format
        picture = colour.from_rgb(frame, pixel_format, info.colour, self._reformatter)
        first = self._frames.first
        if info.pts is None:
            picture.pts, picture.time_base = number, 1 / info.rate
        else:
            assert info.time_base is not None
            picture.pts = info.pts[first + number] - info.pts[first]
            picture.time_base = info.time_base
        try:
            self._container.mux(self._stream.encode(picture))
            if self._audio is not None:
                self._audio.copy_until(info.time_of(first + number + 1) - info.time_of(first))
        except (av.error.FFmpegError, OSError) as error:
            raise output_error(error, self.out) from error

    def _commit(self) -> None:
        try:
            self._container.mux(self._stream.encode(None))
            if self._audio is not None:
                self._audio.finish()
            self._container.close()
            self._file.close()
        except (av.error.FFmpegError, OSError) as error:
            raise output_error(error, self.out) from error
        self._staging.commit([self.out])
        if self._audio is not None:
            self._audio.close()

    def _discard(self) -> None:
        # The file goes first: a container without one skips its trailer.
        for part in ("_file", "_container", "_audio"):
            opened = getattr(self, part, None)
            if opened is not None:
                try:
                    opened.close()
                except (av.error.FFmpegError, OSError, ValueError):
                    continue
        self._staging.discard()
