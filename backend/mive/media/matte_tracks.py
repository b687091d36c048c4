"""Reading matte files: instance ids from ID mattes, coverage from mattes of one instance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from mive.errors import MatteError, MediaError
from mive.media import colour
from mive.media.asked import Reading
from mive.media.containers import open_container
from mive.media.image import Image, read_matte
from mive.media.info import ClipInfo, Coverage, Pixels
from mive.media.opening import open_clip
from mive.media.paste import to_float
from mive.media.raw import RawClip
from mive.media.reading import reading
from mive.media.sequence import SequenceClip
from mive.media.told import Warnings
from mive.media.video import VideoClip

Ids = npt.NDArray[np.int32]

_LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
_PALETTE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
_LOSSY_SUFFIXES = (".jpg", ".jpeg")
_LOSSY_CODECS = ("av1", "h264", "hevc", "mjpeg", "mpeg2video", "mpeg4", "vp8", "vp9")
"""FFmpeg's names of those that leave noise which is seen; intermediate codecs are too fine for that."""
_COLOURED = 0.05
"""How far the channels of a pixel lie apart, and of how many pixels, where no codec's rounding explains it."""


Opened = Callable[[ClipInfo, str], None]
"""Told what a matte is and its field, before a frame of it is read; raises where it is not to be."""


class MatteTrack(ABC):
    """A matte over time: ``count`` frames, each read by its place among them.

    Args:
        field: of the request, that names the matte.
        opened: told what it is.
        warnings: where the reader's doubts go.
    """

    def __init__(
        self,
        path: Path,
        field: str,
        opened: Opened = lambda info, field: None,
        warnings: Warnings | None = None,
    ) -> None:
        self.path = path
        self.field = field
        self.warnings = warnings = warnings or Warnings()
        try:
            self._clip = open_clip(path, Reading(matte=True, warnings=warnings))
        except MediaError as error:
            raise as_matte_error(error, field) from error
        opened(self._clip.info, field)
        self.count = self._clip.info.frames
        self.info = self._clip.info
        self.files = self.info.files
        self._reformatter = VideoReformatter()
        self._next = 0
        self._video: Iterator[av.VideoFrame] | None = None

    @property
    def lossy(self) -> bool:
        """Whether it was compressed so that black and white are not what they were."""
        if isinstance(self._clip, VideoClip):
            return self._clip.codec in _LOSSY_CODECS
        return any(file.suffix.lower() in _LOSSY_SUFFIXES for file in self.files)

    def read(self, number: int) -> Pixels:
        """The frame at a place, from 0, ``[H, W]``; cheapest in rising order.

        Raises:
            MatteError: the frame cannot be decoded or is no matte of this kind.
        """
        try:
            with reading(self.path):
                return self._read(number)
        except MatteError:
            raise
        except MediaError as error:
            raise as_matte_error(error, self.field) from error

    def _image(self, path: Path) -> Image:
        image = read_matte(path)
        if image.problem:
            self.warnings.tell(f"{path} is damaged: {image.problem}", error=MatteError)
        return image

    def _read(self, number: int) -> Pixels:
        clip = self._clip
        if isinstance(clip, SequenceClip):
            return self._from_file(clip.info.files[number])
        if isinstance(clip, RawClip):
            return self._from_raw(clip.stored(number))
        assert isinstance(clip, VideoClip)
        return clip.orientation.apply(self._from_video(self._stored(clip, number)))

    def _stored(self, clip: VideoClip, number: int) -> av.VideoFrame:
        if self._video is None or number != self._next:
            self._video = clip.stored_frames(number, self.count - 1)
        self._next = number + 1
        return next(self._video)

    @abstractmethod
    def _from_file(self, path: Path) -> Pixels: ...

    @abstractmethod
    def _from_video(self, frame: av.VideoFrame) -> Pixels: ...

    @abstractmethod
    def _from_raw(self, pixels: Pixels) -> Pixels: ...


class IdTrack(MatteTrack):
    """An ID matte: the value (or palette index) of a pixel is its instance; 0 is background.

    Reads 8 and 16 bit grey, palettes, RGB with three equal channels, and EXR with whole numbers,
    as images, lossless video or raw frames.
    """

    def _from_file(self, path: Path) -> Ids:
        if path.suffix.lower() in _LOSSY_SUFFIXES:
            raise self._no_ids(f"{path} is a JPEG, whose values are not exact")
        indices = _palette_indices(path) if path.suffix.lower() in _PALETTE_SUFFIXES else None
        if indices is not None:
            return indices.astype(np.int32)
        image = self._image(path)
        grey = image.grey()
        ids = self._one_channel(image.rgb(), path) if grey is None else grey
        bits = self._clip.info.bits
        if ids.dtype == np.uint8 and bits < 8:
            ids = ids // (255 // (2**bits - 1))
        return self._whole(ids, path)

    def _from_video(self, frame: av.VideoFrame) -> Ids:
        pixel_format = frame.format
        if pixel_format.has_palette:
            indices, _ = frame.to_ndarray()
            return np.asarray(indices).astype(np.int32)
        if pixel_format.name.startswith("gray"):
            return self._whole(np.asarray(frame.to_ndarray()), self.path)
        if not pixel_format.is_rgb:
            raise self._no_ids(f"{self.path} is a video of inexact values ({pixel_format.name})")
        depth = self._clip.info.depth
        rgb = colour.to_rgb(frame, self._clip.info.colour, depth, self._reformatter)
        if depth == "u16" and self._clip.info.bits < 16:
            rgb = rgb >> (16 - self._clip.info.bits)
        return self._whole(self._one_channel(rgb, self.path), self.path)

    def _from_raw(self, pixels: Pixels) -> Ids:
        return self._whole(pixels if pixels.ndim == 2 else self._one_channel(pixels, self.path), self.path)

    def _one_channel(self, rgb: Pixels, path: Path) -> Pixels:
        if (rgb != rgb[..., :1]).any():
            raise self._no_ids(f"{path} is a colour picture")
        return rgb[..., 0]

    def _whole(self, values: Pixels, path: Path) -> Ids:
        if values.dtype == np.float32 and not (np.isfinite(values).all() and values.max() < 2**24):
            raise self._no_ids(f"{path} holds values that are no ids")
        ids = values.astype(np.int32)
        if (ids != values).any() or (ids < 0).any():
            raise self._no_ids(f"{path} holds values that are no whole numbers")
        return ids

    def _no_ids(self, what: str) -> MatteError:
        return MatteError(
            what,
            expected="an ID matte: grey or palette pixels whose value is the instance id, "
            "0 for background, stored without loss (PNG, EXR, TIFF, FFV1)",
            fix="Export the ID matte as 8 or 16 bit PNG; a soft matte belongs to one instance: "
            "give it as that instance's own matte",
            field=self.field,
        )


class CoverageTrack(MatteTrack):
    """The matte of one instance: alpha where the file has alpha that is ever used, else luma."""

    def __init__(
        self,
        path: Path,
        field: str,
        opened: Opened = lambda info, field: None,
        warnings: Warnings | None = None,
    ) -> None:
        super().__init__(path, field, opened, warnings)
        self._use_alpha = self._coloured = False
        for number in range(self.count):
            alpha = self._alpha(number)
            if alpha is None:
                break
            if (alpha < 1).any():
                self._use_alpha = True
                break
        else:
            self._say("has alpha that is opaque everywhere; its brightness was taken instead")

    def _say(self, what: str) -> None:
        self.warnings.tell(f"The matte {self.path} {what}", error=MatteError)

    def _alpha(self, number: int) -> Coverage | None:
        self._use_alpha = True
        try:
            alpha = self.read(number)
        except _NoAlpha:
            return None
        finally:
            self._use_alpha = False
        return alpha

    def _from_file(self, path: Path) -> Coverage:
        image = self._image(path)
        if self._use_alpha:
            alpha = image.alpha()
            if alpha is None:
                raise _NoAlpha
            return self._covered(alpha)
        grey = image.grey()
        return self._covered(image.rgb() if grey is None else grey)

    def _from_video(self, frame: av.VideoFrame) -> Coverage:
        if self._use_alpha:
            alpha = colour.alpha_of(frame, self._reformatter)
            if alpha is None:
                raise _NoAlpha
            return self._covered(alpha)
        info = self._clip.info
        return self._covered(colour.to_rgb(frame, info.colour, info.depth, self._reformatter))

    def _from_raw(self, pixels: Pixels) -> Coverage:
        if self._use_alpha:
            raise _NoAlpha
        return self._covered(pixels)

    def _covered(self, values: Pixels) -> Coverage:
        values = to_float(values)
        if not np.isfinite(values).all():
            raise MatteError(
                f"{self.path} holds NaN or infinite pixels",
                expected="coverage from 0 to 1",
                fix="Render the matte again",
                field=self.field,
            )
        if float(values.max()) > 1:
            self._say("holds values beyond 1, which count as 1; a depth pass is no matte")
        if values.ndim == 3:
            # A grey pixel keeps its exact value, which weights that round would not promise.
            equal = (values == values[..., :1]).all(axis=-1)
            if not self._coloured and float((np.ptp(values, axis=-1) > _COLOURED).mean()) > _COLOURED:
                self._coloured = True
                self._say("is a colour picture; its brightness was taken")
            values = np.where(equal, values[..., 0], values @ _LUMA)
        return np.clip(values, 0, 1).astype(np.float32)


class _NoAlpha(Exception):
    """The file has no alpha channel."""


def as_matte_error(error: MediaError, field: str) -> MatteError:
    """The same failure, told about a matte."""
    return MatteError(error.what, expected=error.expected, fix=error.fix, field=field)


def _palette_indices(path: Path) -> npt.NDArray[np.uint8] | None:
    # OpenImageIO turns palettes into colours; FFmpeg's decoders keep the indices.
    try:
        with open_container(path) as container:
            frame = next(container.decode(video=0), None)
    except (MediaError, av.error.FFmpegError, OSError, IndexError):
        return None
    if frame is None or frame.format.name != "pal8":
        return None
    indices, _ = frame.to_ndarray()
    return np.asarray(indices)
