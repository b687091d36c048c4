"""Frames that a request brings along, in uploads, shared memory or runs, as they are stored for the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
from google.protobuf.message import DecodeError

from mive.base.samples import BY_NAME, IN_MEMORY, INTEGERS, Depth, listed
from mive.errors import RequestError
from mive.media import timecode
from mive.media.info import ClipInfo, ColourTags, Pixels
from mive.server.regions import Regions
from mive.server.upload_files import BLOCK
from mive.server.uploads import Uploads
from mive.v1 import media_pb2
from mive.wire.clip import rational_from_message
from mive.wire.formats import LIMITS, FrameFormat, FrameLimits, pixel_format_from_message, unpack
from mive.wire.raw_frames import check_raw_frames
from mive.wire.runs import check_runs
from mive.wire.words import refuse_unknown

RUNS_BYTES: Final = 16 << 20
"""Bytes of runs in one upload, which are taken apart in memory. Frames with more edges are smaller as they are."""

_NAME_BYTES: Final = 512
_ANY_RATE: Final = Fraction(24)
_MOST_INT: Final = 2**31 - 1


@dataclass(frozen=True)
class InputLimits:
    """What a request may bring along at most.

    Attributes:
        frame: of each frame.
        frames: how many a clip or matte may have.
        owner_bytes: that all inputs of one owner may take on the disk; 0 is no limit.
    """

    frame: FrameLimits = LIMITS
    frames: int = 100_000
    owner_bytes: int = 0


@dataclass(frozen=True)
class RawInput:
    """Frames to be stored.

    Attributes:
        info: their size, depth and whatever else is known; its number of frames is not.
        frames: ``[H, W, 3]`` or ``[H, W]``, each valid until the next.
        runs: the frames are runs instead, ``[N, 2]`` of length and value, for `mive.media.raw.write_runs`.
    """

    info: ClipInfo
    frames: Iterator[Pixels]
    runs: bool = False


Claimed = Callable[[int], None]
"""Told how many bytes are going to be stored, before they are; raises where they are too many."""


class RawInputs:
    """Reads the frames of requests. Everything is checked before a frame is read, and one is in memory at a time."""

    def __init__(self, uploads: Uploads, regions: Regions, limits: InputLimits) -> None:
        self._uploads = uploads
        self._regions = regions
        self._limits = limits

    def clip(self, owner: str, message: media_pb2.RawClip, claim: Claimed, at: str) -> RawInput:
        """A clip.

        Args:
            at: path of the message in the request; here and below.

        Raises:
            RequestError: it is wrong in any way, or bytes of it are missing.
            UploadNotFound, RegionNotFound: its bytes are not the owner's.
            QuotaExceeded: as ``claim`` says.
        """
        rate = _ratio(message.rate, f"{at}.rate")
        aspect = _ratio(message.pixel_aspect, f"{at}.pixel_aspect") if message.HasField("pixel_aspect") else Fraction(1)
        if message.timecode and not (message.timecode.isascii() and timecode.pack(message.timecode) is not None):
            expected = '"HH:MM:SS:FF" or "HH:MM:SS;FF", or none'
            raise _wrong(f"{at}.timecode", f"{message.timecode[:40]!a} is no timecode", expected)
        layout = self._check(message.frames, (3, 4), f"{at}.frames")
        info = _info(layout, rate=rate, aspect=aspect, timecode=message.timecode or None)
        return self._frames(owner, message.frames, layout, info, claim, f"{at}.frames")

    def matte(self, owner: str, message: media_pb2.RawFrames, claim: Claimed, at: str, *, ids: bool) -> RawInput:
        """A matte.

        Args:
            ids: its values are instance ids, which are never fractions.

        Raises:
            MiveError: as `clip`.
        """
        layout = self._check(message, (1,), at)
        if ids and BY_NAME[layout.pixel_format].is_float:
            raise _wrong(f"{at}.format.pixel_format", f"ids of the type {layout.pixel_format}", listed(INTEGERS))
        return self._frames(owner, message, layout, _info(layout), claim, at)

    def runs(self, parts: Iterable[tuple[media_pb2.MatteRuns, str]], claim: Claimed) -> RawInput:
        """A matte in runs, which takes as much of the disk as its edges, however large it says that it is.

        Args:
            parts: messages, at least one, each with its path in the request.

        Raises:
            RequestError: they are wrong in any way; at once where it is the first one's size or type.
            QuotaExceeded: as ``claim`` says, while the frames are read.
        """
        rest = iter(parts)
        first, first_at = next(rest)
        check_runs(first, limits=self._limits.frame, at=first_at)
        sample = BY_NAME[pixel_format_from_message(first.pixel_format, first_at)]
        info = ClipInfo(Path(), first.width, first.height, 0, _ANY_RATE, sample.depth, bits=sample.bits)

        def frames() -> Iterator[Pixels]:
            count = 0
            for part, at in chain([(first, first_at)], rest):
                if (part.width, part.height, part.pixel_format) != (first.width, first.height, first.pixel_format):
                    raise _wrong(at, "the frames differ in size or type", "all like those of the first upload")
                count += len(part.frames)
                self._check_count(count, at)
                for runs in check_runs(part, limits=self._limits.frame, at=at):
                    claim(runs.nbytes)
                    yield runs

        return RawInput(info, frames(), runs=True)

    def uploaded_runs(self, owner: str, message: media_pb2.UploadedRuns, claim: Claimed, at: str) -> RawInput:
        """A matte in runs that were uploaded.

        Raises:
            RequestError, QuotaExceeded: as `runs`.
            UploadNotFound: an upload is not the owner's.
        """
        if not message.upload_ids:
            raise _wrong(f"{at}.upload_ids", "there are no uploads", "1 or more")
        self._check_count(len(message.upload_ids), f"{at}.upload_ids")
        places = [f"{at}.upload_ids[{index}]" for index in range(len(message.upload_ids))]
        paths = [self._uploads.path(owner, each, place) for each, place in zip(message.upload_ids, places, strict=True)]
        return self.runs(((_read_runs(path, place), place) for path, place in zip(paths, places, strict=True)), claim)

    def _check(self, message: media_pb2.RawFrames, channels: Sequence[int], at: str) -> FrameFormat:
        most, limits = self._limits.frames, self._limits.frame
        return check_raw_frames(message, channels=channels, most=most, limits=limits, at=at)

    def _check_count(self, count: int, at: str) -> None:
        if count > self._limits.frames:
            raise _wrong(at, f"{count} frames or more", f"at most {self._limits.frames}")

    def _frames(
        self, owner: str, message: media_pb2.RawFrames, layout: FrameFormat, info: ClipInfo, claim: Claimed, at: str
    ) -> RawInput:
        if message.HasField("region"):
            self._regions.check(owner, message.region, f"{at}.region")
            whole = self._from_region(owner, message, layout, f"{at}.region")
        else:
            whole = self._from_uploads(owner, message, layout, f"{at}.uploads")
        claim(message.count * file_bytes(_frame_bytes(info, min(layout.channels, 3))))
        return RawInput(info, (_stored(frame, info.depth) for frame in whole))

    def _from_region(self, owner: str, message: media_pb2.RawFrames, layout: FrameFormat, at: str) -> Iterator[Pixels]:
        for number in range(message.count):
            offset = message.region.offset + number * layout.size
            place = media_pb2.RegionSlice(region_id=message.region.region_id, offset=offset, size=layout.size)
            yield unpack(self._regions.read(owner, place, at), layout)

    def _from_uploads(self, owner: str, message: media_pb2.RawFrames, layout: FrameFormat, at: str) -> Iterator[Pixels]:
        paths, total = [], 0
        for index, upload_id in enumerate(message.uploads.upload_ids):
            place = f"{at}.upload_ids[{index}]"
            path = self._uploads.path(owner, upload_id, place)
            size = path.stat().st_size
            if size % layout.size:
                raise _wrong(place, f"the upload has {size} bytes", f"whole frames of {layout.size} bytes")
            paths.append(path)
            total += size
        if total != message.count * layout.size:
            expected = f"{message.count * layout.size} bytes, {message.count} frames of {layout.size}"
            raise _wrong(at, f"the uploads have {total} bytes", expected)
        return _read_frames(paths, layout)


def file_bytes(size: int) -> int:
    """What a file of so many bytes takes of a disk, which gives whole blocks; a name is not for free either."""
    return -(-size // BLOCK) * BLOCK + _NAME_BYTES


def _stored(frame: Pixels, depth: Depth) -> Pixels:
    """Without alpha, and in a type of MIVE's own."""
    return (frame if frame.ndim == 2 else frame[..., :3]).astype(IN_MEMORY[depth].dtype, copy=False)


def _read_frames(paths: Iterable[Path], layout: FrameFormat) -> Iterator[Pixels]:
    buffer = np.empty(layout.size, np.uint8)
    for path in paths:
        with path.open("rb") as file:
            while file.readinto(buffer.data) == layout.size:
                yield unpack(buffer.data, layout)


def _read_runs(path: Path, at: str) -> media_pb2.MatteRuns:
    size = path.stat().st_size
    if size > RUNS_BYTES:
        raise _wrong(at, f"an upload of {size} bytes of runs", f"at most {RUNS_BYTES} bytes")
    try:
        runs = media_pb2.MatteRuns.FromString(path.read_bytes())
    except DecodeError:
        raise _wrong(at, "the upload is no MatteRuns message", "one serialised MatteRuns") from None
    refuse_unknown(runs, at)
    return runs


def _info(
    layout: FrameFormat, *, rate: Fraction = _ANY_RATE, aspect: Fraction = Fraction(1), timecode: str | None = None
) -> ClipInfo:
    sample = BY_NAME[layout.pixel_format]
    return ClipInfo(
        Path(),
        layout.width,
        layout.height,
        0,
        rate,
        sample.depth,
        colour=layout.colour or ColourTags(),
        timecode=timecode,
        pixel_aspect=aspect,
        bits=sample.bits,
    )


def _frame_bytes(info: ClipInfo, channels: int) -> int:
    return info.width * info.height * channels * IN_MEMORY[info.depth].dtype.itemsize


def _ratio(message: media_pb2.Rational, at: str) -> Fraction:
    value = rational_from_message(message, at)
    if value <= 0 or max(value.as_integer_ratio()) > _MOST_INT:
        raise _wrong(at, f"{message.numerator}/{message.denominator}", "more than 0, both numbers below 2^31")
    return value


def _wrong(field: str, what: str, expected: str) -> RequestError:
    return RequestError(what, expected=expected, fix="Correct it, and submit again", field=field)
