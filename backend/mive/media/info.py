"""What is known about a clip before its frames are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mive.base.samples import Depth

if TYPE_CHECKING:
    from mive.media.extras import Extra

Pixels = npt.NDArray[Any]
"""One frame, ``[H, W, 3]`` RGB: uint8, uint16 (code values) or float32 (scene values)."""

Coverage = npt.NDArray[np.float32]
"""How much of a pixel a matte covers, ``[H, W]`` or ``[M, H, W]``, 0..1."""

UNSPECIFIED = 2
MATRIX_RGB = 0
MATRIX_BT709 = 1
MATRIX_BT601 = 6
MATRIX_BT2020 = 9


@dataclass(frozen=True)
class ColourTags:
    """Colour tags as code points of ITU-T H.273; 2 is "unspecified".

    Attributes:
        matrix: matrix coefficients (0 = the file holds RGB).
        primaries: colour primaries.
        transfer: transfer characteristics.
        full_range: code values span the full range, not the video range.
    """

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    full_range: bool = False

    def yuv_matrix(self, width: int, height: int) -> int:
        """The matrix to convert YUV by, one of BT.709, BT.601, BT.2020, FCC (4) or 240M (7).

        Where the tag says nothing, the primaries decide, then the size: HD is BT.709 and
        smaller frames are BT.601, as in broadcast practice.
        """
        if self.matrix in (MATRIX_BT709, 4, 7):
            return self.matrix
        if self.matrix in (5, MATRIX_BT601):
            return MATRIX_BT601
        if self.matrix in (MATRIX_BT2020, 10):
            return MATRIX_BT2020
        if self.primaries == 9:
            return MATRIX_BT2020
        if self.primaries == 1:
            return MATRIX_BT709
        return MATRIX_BT709 if max(width, height) >= 1280 else MATRIX_BT601


@dataclass(frozen=True)
class ClipInfo:
    """Size, timing, depth and tags of a clip, and whatever its writer has to carry over.

    Attributes:
        path: as the user gave it.
        width, height: display size in pixels, after rotation.
        frames: exact number of frames.
        rate: frames a second (the average where ``variable_rate``).
        depth: sample type of the frames that ``Clip.read`` yields.
        colour: colour tags of the source.
        chromaticities: CIE x, y of red, green, blue and white, where an EXR header gives them.
        timecode: of the first frame, ``HH:MM:SS:FF`` (``;FF`` where drop-frame).
        pixel_aspect: width of a pixel by its height, after rotation.
        bits: bits of a sample in the source (16 with ``f32`` is half float).
        start: presentation time of the first frame in the source, in seconds.
        pts, time_base: presentation times, counted from the first frame, in units of
            ``time_base`` seconds; given only where ``variable_rate``.
        files: every file the frames are read from.
        numbers: of the frames, where they have numbers of their own: those of the files of a sequence, or, where frames
            of a video are lost, their places among all. None counts from ``first_number``.
        first_number: of the first frame.
        rate_guessed: nothing and nobody says the rate.
        extras: what the files hold besides colours.
        chroma: how finely a video that is not 4:2:0 tells colours, such as "4:2:2"; "" for images.
    """

    path: Path
    width: int
    height: int
    frames: int
    rate: Fraction
    depth: Depth = "u8"
    colour: ColourTags = field(default_factory=ColourTags)
    timecode: str | None = None
    has_audio: bool = False
    variable_rate: bool = False
    is_sequence: bool = False
    pixel_aspect: Fraction = Fraction(1)
    bits: int = 8
    start: Fraction = Fraction(0)
    pts: tuple[int, ...] | None = None
    time_base: Fraction | None = None
    files: tuple[Path, ...] = ()
    first_number: int = 0
    numbers: tuple[int, ...] | None = None
    rate_guessed: bool = False
    extras: tuple[Extra, ...] = ()
    chroma: str = ""
    chromaticities: tuple[float, ...] | None = None

    def number_of(self, index: int) -> int:
        """The number of a frame: what tells it, where its place among the frames does not."""
        return self.first_number + index if self.numbers is None else self.numbers[index]

    def time_of(self, index: int) -> Fraction:
        """Seconds from the first frame to the start of frame ``index``; ``frames`` is the end."""
        if self.pts is None or self.time_base is None:
            return index / self.rate
        if index >= self.frames:
            return self.pts[-1] * self.time_base + 1 / self.rate
        return self.pts[index] * self.time_base
