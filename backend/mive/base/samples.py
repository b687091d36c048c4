"""The types of sample that frames have, and what each is called where frames come from and go to.

A type is a row here, a value of the contract's ``PixelFormat``, and one of the effect's `Depth` where hosts have it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Depth = Literal["u8", "u16", "f32"]
"""The types that frames have in memory and in raw clips."""

PixelFormat = Literal["u8", "u16", "half", "float"]
"""The types that frames travel in, by the contract's words."""

DType = np.dtype[Any]


@dataclass(frozen=True)
class Sample:
    """A type of sample.

    Attributes:
        name: of the contract.
        dtype: as it travels, little-endian.
        depth: what it is in memory, without loss.
        coded: what it is where files hold no floats.
        image: OpenImageIO's name.
        rgb, rgba: FFmpeg's formats of frames that are decoded, and of those with alpha.
        lossless: FFmpeg's format in FFV1.
        lossy: what names of FFmpeg's YUV formats end with in other codecs.
        host: the effect's word for it in what it says about images; empty where it has none.
    """

    name: PixelFormat
    dtype: DType
    depth: Depth
    coded: Depth
    image: str
    rgb: str
    rgba: str
    lossless: str
    lossy: str
    host: str

    @property
    def lossless_alpha(self) -> str:
        """FFmpeg's format in FFV1 of frames with alpha; "" where FFV1 has none."""
        return {"bgr0": "bgra", "gbrp16le": "gbrap16le"}.get(self.lossless, "")

    @property
    def bits(self) -> int:
        """Of a sample."""
        return self.dtype.itemsize * 8

    @property
    def is_float(self) -> bool:
        """0..1 is black to white, and values beyond are kept."""
        return self.dtype.kind == "f"


_FLOAT: Final = Sample(
    "float", np.dtype("<f4"), "f32", "u16", "float", "gbrpf32le", "rgba64le", "gbrpf32le", "10le", "float"
)
SAMPLES: Final = (
    Sample("u8", np.dtype("u1"), "u8", "u8", "uint8", "rgb24", "rgba", "bgr0", "", "byte"),
    Sample("u16", np.dtype("<u2"), "u16", "u16", "uint16", "rgb48le", "rgba64le", "gbrp16le", "10le", "short"),
    replace(_FLOAT, name="half", dtype=np.dtype("<f2"), image="half", host=""),
    _FLOAT,
)
BY_NAME: Final = {sample.name: sample for sample in SAMPLES}
IN_MEMORY: Final = {sample.depth: sample for sample in SAMPLES}
"""Of those that are one type in memory, the last is that type."""

INTEGERS: Final = tuple(sample for sample in SAMPLES if not sample.is_float)
HOSTED: Final = {sample.host: sample for sample in SAMPLES if sample.host}


def sample_of(dtype: DType) -> Sample:
    """The type of an array's samples.

    Raises:
        KeyError: it is none that frames have.
    """
    for sample in SAMPLES:
        if sample.dtype == dtype:
            return sample
    raise KeyError(dtype)


def integer_for(bits: int) -> Sample:
    """The smallest type that holds code values of so many bits; the largest where none does."""
    return next((sample for sample in INTEGERS if bits <= sample.bits), INTEGERS[-1])


def stored_as(depth: Depth, bits: int) -> Sample:
    """The type of so many bits that is ``depth`` in memory, or ``depth`` itself."""
    found = (sample for sample in SAMPLES if sample.depth == depth and sample.bits == bits)
    return next(found, IN_MEMORY[depth])


def white(dtype: DType) -> int:
    """The largest code value of an integer type; 1 for floats."""
    return int(np.iinfo(dtype).max) if dtype.kind in "iu" else 1


def rescaled(codes: NDArray[Any], dtype: DType) -> NDArray[Any]:
    """Code values of one unsigned type in another, rounded to nearest and exact there and back."""
    have, want = white(codes.dtype), white(dtype)
    if have <= want:
        return np.asarray(codes.astype(dtype) * dtype.type(want // have))
    factor, wide = have // want, np.dtype(f"u{2 * codes.dtype.itemsize}")
    return np.asarray((codes.astype(wide) + wide.type(factor // 2)) // wide.type(factor), dtype)


def listed(samples: Iterable[Sample]) -> str:
    """``U8, U16 or FLOAT``, for messages about the contract."""
    *most, last = (sample.name.upper() for sample in samples)
    return f"{', '.join(most)} or {last}"
