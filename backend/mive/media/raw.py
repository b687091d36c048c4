"""Clips and mattes as raw frames: a folder with ``raw.json`` and one ``.npy`` file for each frame.

Frames are kept sample by sample as they are in memory: uint8, uint16 or float32, ``[H, W, 3]`` or (a matte) ``[H, W]``.
Mattes are also kept as runs of equal pixels: those of all frames in one file, and where each frame ends in another.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mive.base.samples import IN_MEMORY, Depth
from mive.base.validation import Model
from mive.errors import MediaError, RequestError
from mive.media.asked import Reading
from mive.media.clip import Clip
from mive.media.info import ClipInfo, ColourTags, Pixels
from mive.media.reading import reading
from mive.settings import Count

HEADER: Final = "raw.json"
"""Written last: a folder without it is no raw clip."""

_RUNS: Final = "runs.u32"
"""How long each run is, and its value: pairs of uint32, of all frames one after the other."""

_ENDS: Final = "ends.npy"
"""How many of them end with each frame: int64, ``[frames]``, rising."""

_Ratio = tuple[Count, Count]


class _Colour(Model):
    matrix: int = Field(description="the matrix coefficients")
    primaries: int = Field(description="the colour primaries")
    transfer: int = Field(description="the transfer characteristics")
    full_range: bool = Field(description="whether code values span the full range")


class _Header(Model):
    raw: Literal[1] = Field(default=1, description="the version of this format")
    width: Count = Field(description="the pixels in a row")
    height: Count = Field(description="the rows")
    channels: Literal[1, 3] = Field(description="the samples of a pixel")
    depth: Depth = Field(description="the type of a sample")
    bits: Count = Field(description="the bits of a sample in the source")
    frames: Count = Field(description="the number of frames")
    runs: bool = Field(default=False, description="whether the frames are kept as runs of equal pixels")
    rate: _Ratio = Field(description="the frames a second, as a fraction")
    pixel_aspect: _Ratio = Field(description="the width of a pixel by its height, as a fraction")
    timecode: str | None = Field(default=None, description="the timecode of the first frame")
    colour: _Colour = Field(description="the colour tags")


class RawClip(Clip):
    """A folder that :func:`write_raw` filled.

    Raises:
        MediaError: the header is no header, or files of frames are missing.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            header = _Header.from_json((path / HEADER).read_bytes())
        except (OSError, RequestError) as error:
            raise _damaged(path, error.what if isinstance(error, RequestError) else str(error.strerror)) from error
        files = tuple(sorted(path.glob("*.npy")))
        self._runs = _Runs(path, header) if header.runs else None
        if self._runs is not None:
            files = (path / _RUNS, path / _ENDS)
        elif [file.name for file in files] != [_name(number) for number in range(len(files))]:
            raise _damaged(path, "there are frames that do not belong to it")
        if self._runs is None and len(files) != header.frames:
            raise _damaged(path, f"it holds {len(files)} of {header.frames} frames")
        self.reading = Reading()
        self._shape = (header.height, header.width, 3)[: 2 if header.channels == 1 else 3]
        self.info = ClipInfo(
            path=path,
            width=header.width,
            height=header.height,
            frames=header.frames,
            rate=Fraction(*header.rate),
            depth=header.depth,
            colour=ColourTags(**header.colour.model_dump()),
            timecode=header.timecode,
            pixel_aspect=Fraction(*header.pixel_aspect),
            bits=header.bits,
            files=files,
        )

    def stored(self, number: int) -> Pixels:
        """Frame ``number`` as it was written, ``[H, W, 3]`` or ``[H, W]``.

        Raises:
            MediaError: its file is missing or damaged.
        """
        dtype = IN_MEMORY[self.info.depth].dtype
        if self._runs is not None:
            return self._runs.frame(number, self._shape, dtype)
        size = math.prod(self._shape) * dtype.itemsize
        try:
            path = self.info.files[number]
            with reading(path), path.open("rb") as file:
                # The header and the file's length are compared before memory of any size is asked for.
                if np.lib.format.read_magic(file) == (1, 0):
                    declared = np.lib.format.read_array_header_1_0(file)
                    left = os.fstat(file.fileno()).st_size - file.tell()
                    if declared == (self._shape, False, dtype) and left == size:
                        frame = np.empty(self._shape, dtype)
                        if file.readinto(frame.data.cast("B")) == size:
                            return frame
        except (OSError, ValueError) as error:
            raise _damaged(self.info.path, f"frame {number} cannot be read") from error
        raise _damaged(self.info.path, f"frame {number} is not of the size or type that the others have")

    def _decode(self, first: int, last: int) -> Iterator[Pixels]:
        for number in range(first, last + 1):
            frame = self.stored(number)
            yield frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=2)


class _Runs:
    """The frames of a folder that `write_runs` filled."""

    def __init__(self, path: Path, header: _Header) -> None:
        self._path = path
        try:
            self._ends = np.load(path / _ENDS, allow_pickle=False)
            self._runs = np.memmap(path / _RUNS, np.uint32, "r").reshape(-1, 2)
        except (OSError, ValueError) as error:
            raise _damaged(path, "its runs cannot be read") from error
        if self._ends.shape != (header.frames,) or header.channels != 1:
            raise _damaged(path, "its runs are not those of its frames")

    def frame(self, number: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Pixels:
        start, end = (0 if number == 0 else int(self._ends[number - 1])), int(self._ends[number])
        runs = np.array(self._runs[start:end], np.int64)
        if not len(runs) or runs[:, 0].sum() != math.prod(shape):
            raise _damaged(self._path, f"frame {number} is not of the size that the others have")
        return np.repeat(runs[:, 1].astype(dtype), runs[:, 0]).reshape(shape)


def is_raw(path: Path) -> bool:
    """The path is a folder that :func:`write_raw` filled."""
    return (path / HEADER).is_file()


def write_raw(folder: Path, info: ClipInfo, frames: Iterable[Pixels]) -> None:
    """Write frames, one in memory at a time, and then the header.

    Args:
        folder: exists and is empty.
        info: size, depth, rate, timecode, pixel aspect, colour and bits; how many frames there are is counted.
        frames: 1 or more, all ``[H, W, 3]`` or all ``[H, W]``, in the type of ``info.depth``.

    Raises:
        ValueError: there are no frames, or one is not of that size and type.
        OSError: the disk is full, or may not be written.
    """
    count, shape = 0, (info.height, info.width)
    for frame in frames:
        if not count:
            shape = frame.shape
        if frame.shape != shape or shape[:2] != (info.height, info.width) or frame.dtype != IN_MEMORY[info.depth].dtype:
            raise ValueError(f"frame {count} is {frame.dtype} of {frame.shape}")
        with (folder / _name(count)).open("wb") as file:
            for part in npy_parts(frame):
                file.write(part)
        count += 1
    if not count:
        raise ValueError("there are no frames")
    _write_header(folder, info, count, 3 if len(shape) == 3 else 1)


def write_runs(folder: Path, info: ClipInfo, frames: Iterable[NDArray[np.uint32]]) -> None:
    """Write mattes as runs, those of one frame in memory at a time, and then the header.

    Args:
        folder, info: as for `write_raw`.
        frames: 1 or more, each of runs ``[N, 2]`` (length and value) that make up a frame.

    Raises:
        ValueError: there are no frames.
        OSError: the disk is full, or may not be written.
    """
    ends: list[int] = []
    with (folder / _RUNS).open("wb") as file:
        for runs in frames:
            file.write(np.ascontiguousarray(runs, np.uint32).data)
            ends.append(len(runs) + (ends[-1] if ends else 0))
    if not ends:
        raise ValueError("there are no frames")
    with (folder / _ENDS).open("wb") as file:
        for piece in npy_parts(np.array(ends, np.int64)):
            file.write(piece)
    _write_header(folder, info, len(ends), 1, runs=True)


def _write_header(folder: Path, info: ClipInfo, frames: int, channels: Literal[1, 3], *, runs: bool = False) -> None:
    header = _Header(
        width=info.width,
        height=info.height,
        channels=channels,
        depth=info.depth,
        bits=info.bits,
        frames=frames,
        runs=runs,
        rate=info.rate.as_integer_ratio(),
        pixel_aspect=info.pixel_aspect.as_integer_ratio(),
        timecode=info.timecode,
        colour=_Colour(**vars(info.colour)),
    )
    (folder / HEADER).write_text(header.to_json())


def npy_parts(frame: Pixels) -> tuple[bytes, memoryview]:
    """The header and the samples of a ``.npy`` file. `np.save` would hide why the disk refuses them."""
    pixels = np.ascontiguousarray(frame)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(pixels))
    return head.getvalue(), pixels.data.cast("B")


def _name(number: int) -> str:
    return f"{number:08}.npy"


def _damaged(path: Path, what: str) -> MediaError:
    return MediaError(
        f"The raw clip {path} is damaged: {what}",
        expected="a folder of raw frames as MIVE wrote it",
        fix="Send the frames again",
    )
