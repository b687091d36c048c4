"""Video files: H.264, H.265, ProRes and FFV1, with the source's audio, times and tags."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from mive.base.atomic import Staging, output_error
from mive.base.rates import shown_rate
from mive.base.samples import BY_NAME, IN_MEMORY, Depth
from mive.errors import OutputError
from mive.media import colour
from mive.media.beside import Beside
from mive.media.holding import HDR, Holding, video_holding
from mive.media.info import ClipInfo, Pixels
from mive.media.mastering import with_mastering
from mive.media.origin import Origin, require_apart
from mive.media.paste import to_depth
from mive.media.video import VideoClip
from mive.media.writer import FrameWriter
from mive.settings import Codec

if TYPE_CHECKING:
    from mive.request import FrameRange

_REORDERED = 2
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


def choose_encoding(codec: Codec, info: ClipInfo, count: int, *, alpha: bool = False) -> Encoding:
    """The encoder for a clip: chroma is halved only where the size allows it without cropping.

    Args:
        count: how many frames are encoded.
        alpha: frames have a fourth channel.
    """
    sample = IN_MEMORY[info.depth]
    if codec == "ffv1":
        # Float samples are in FFV1's version 4, which FFmpeg still calls experimental.
        version = {"level": "4", "strict": "experimental"} if sample.is_float else {}
        return Encoding(
            "ffv1", sample.lossless_alpha if alpha else sample.lossless, {"level": "3", **version}, info.depth
        )
    if codec == "prores":
        if alpha:
            return Encoding("prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"}, sample.coded)
        if info.width % 2 or info.chroma in ("4:4:4", "RGB"):
            return Encoding("prores_ks", "yuv444p10le", {"profile": "4444"}, sample.coded)
        return Encoding("prores_ks", "yuv422p10le", {"profile": "hq"}, sample.coded)
    chroma = "444" if info.width % 2 else "422" if info.height % 2 else "420"
    lossy = BY_NAME["u16"].lossy if info.colour.transfer in HDR else sample.lossy
    pixel_format = f"yuv{chroma}p" + lossy
    if codec == "hevc":
        # Of fewer frames than it holds back to reorder them, x265 gives decoding times that nobody set.
        params = "log-level=none" if count > _REORDERED else "log-level=none:bframes=0"
        return Encoding("libx265", pixel_format, {"crf": "16", "x265-params": params}, sample.coded)
    return Encoding("libx264", pixel_format, {"crf": "14"}, sample.coded)


class VideoWriter(FrameWriter):
    """Encodes into a hidden file beside ``out`` and renames it when it is complete."""

    def __init__(self, out: Path, info: ClipInfo, frames: FrameRange, codec: Codec | None, origin: Origin) -> None:
        suffix = out.suffix.lower()
        chosen = codec or _NAMES.get(Path(out.stem).suffix.lower()) or _DEFAULTS[suffix]
        holding = video_holding(suffix, chosen)
        alpha = _straight_alpha(info, frames, holding, origin)
        self._encoding = choose_encoding(chosen, info, len(frames), alpha=alpha is not None)
        super().__init__(out, info, frames, self._encoding.depth, holding, origin)
        self._alpha = alpha
        require_apart([out], (*info.files, *origin.inputs))
        if out.is_dir():
            raise OutputError(
                f"{out} is a folder",
                expected="a file name",
                fix="Name a file in it, or leave out the suffix to write images",
            )
        self._tell_losses()
        self._tell_doubts()
        self._tags = colour.written_tags(
            info.colour, self._encoding.pixel_format, info.width, info.height, full_range=holding.full_range
        )
        self._reformatter = VideoReformatter()
        self._beside: Beside | None = None
        self._staging = Staging(out)
        try:
            self._file = open(self._staging.folder / out.name, "w+b")  # noqa: SIM115
            self._container = av.open(self._file, "w", format=_FORMATS[suffix])  # noqa: TID251
            self._stream = self._add_video()
            if info.has_audio or isinstance(origin.clip, VideoClip):
                self._beside = Beside(info, frames, self._container, holding, self.warnings)
            self._container.start_encoding()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._discard()
            raise output_error(error, out) from error
        except BaseException:
            self._discard()
            raise

    def _tell_doubts(self) -> None:
        info, clip = self._info, self.origin.clip
        if clip is None:
            return
        if info.rate_guessed and info.frames > 1:
            self.warnings.tell(
                f"Nothing says how many frames a second {info.path} has; {self.out} has {shown_rate(info.rate)}",
                error=OutputError,
                fix="Say it by --rate",
            )
        if info.is_sequence and IN_MEMORY[info.depth].is_float and not IN_MEMORY[self._encoding.depth].is_float:
            self.warnings.tell(
                f"The values of {info.path} are written to {self.out} as they are; those of EXR are linear light as a "
                "rule, which looks too dark in a video",
                error=OutputError,
                fix="Write an EXR sequence, or give a clip that is graded for a display",
            )

    def _add_video(self) -> av.VideoStream:
        info, encoding, tags = self._info, self._encoding, self._tags
        stream = self._container.add_stream(
            encoding.encoder,
            rate=info.rate,
            options=with_mastering(encoding.encoder, encoding.options, self.origin.clip),
            width=info.width,
            height=info.height,
            time_base=info.time_base or 1 / info.rate,
        )
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = encoding.pixel_format
        context = stream.codec_context
        context.sample_aspect_ratio = info.pixel_aspect
        context.colorspace = tags.matrix
        context.color_primaries = tags.primaries
        context.color_trc = tags.transfer
        context.color_range = ColorRange.JPEG if tags.full_range else ColorRange.MPEG
        if encoding.encoder == "libx265" and self.out.suffix.lower() != ".mkv":
            stream.codec_tag = "hvc1"
        if (start := self.timecode_at(self._frames.first)) is not None:
            stream.metadata["timecode"] = start
        return stream

    def _write(self, frame: Pixels, number: int) -> None:
        info = self._info
        if self._alpha is not None:
            frame = np.dstack([frame, to_depth(next(self._alpha), self._depth)])
        picture = colour.from_rgb(frame, self._encoding.pixel_format, self._tags, self._reformatter)
        first = self._frames.first
        if info.pts is None:
            picture.pts, picture.time_base = number, 1 / info.rate
        else:
            assert info.time_base is not None
            picture.pts = info.pts[first + number] - info.pts[first]
            picture.time_base = info.time_base
        try:
            self._container.mux(self._stream.encode(picture))
            if self._beside is not None:
                self._beside.copy_until(info.time_of(first + number + 1) - info.time_of(first))
        except (av.error.FFmpegError, OSError) as error:
            raise output_error(error, self.out) from error

    def _commit(self) -> None:
        try:
            self._container.mux(self._stream.encode(None))
            if self._beside is not None:
                self._beside.finish()
            self._container.close()
            self._file.close()
        except (av.error.FFmpegError, OSError) as error:
            raise output_error(error, self.out) from error
        self._staging.commit([self.out])
        if self._beside is not None:
            self._beside.close()

    def _discard(self) -> None:
        # The file goes first: a container without one skips its trailer.
        for part in ("_file", "_container", "_beside"):
            opened = getattr(self, part, None)
            if opened is not None:
                try:
                    opened.close()
                except (av.error.FFmpegError, OSError, ValueError):
                    continue
        self._staging.discard()


def _straight_alpha(info: ClipInfo, frames: FrameRange, holding: Holding, origin: Origin) -> Iterator[Pixels] | None:
    """The source's alpha, where it has any that the output holds."""
    held = "alpha" in holding.kinds and any(extra.kind == "alpha" for extra in info.extras)
    return origin.clip.alpha(frames) if held and origin.clip is not None else None
