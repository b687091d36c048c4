"""Writing an edited frame into what its source file holds besides: channels, parts, windows, header fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio

from mive.errors import MediaError
from mive.media.image import display_window, open_image, specs_of
from mive.media.info import Pixels
from mive.media.parts import choose_picture

LOSSLESS: Final = ("none", "rle", "zip", "zips", "piz")
"""Compressions of EXR that give every sample back. With another one the pixels around an edit would change."""

Samples = npt.NDArray[Any]


@dataclass(frozen=True)
class Part:
    """A part of a file that is ready to be written: its header and its samples ``[H, W, C]``."""

    spec: oiio.ImageSpec
    pixels: Samples


def edited_parts(file: Path, layer: str | None, frame: Pixels, rate: Fraction | None) -> list[Part]:
    """All parts of an image file, with an edited frame in place of its picture.

    Args:
        layer: as in `mive.media.image.probe_image`.
        frame: ``[H, W, 3]``, what the display window shows.
        rate: frames a second to tell in the header instead of what it says; None leaves it.

    Raises:
        MediaError: the file cannot be read.
    """
    source = open_image(file)
    specs = specs_of(source)
    chosen = choose_picture(file, specs, layer)
    if len(chosen.colour) != 3:
        raise MediaError(
            f"{file} is grey, and the first frame of its sequence has colours",
            expected="frames of one kind",
            fix="Render all frames of the clip alike",
        )
    parts = []
    for number, spec in enumerate(specs):
        part = Part(_writable(spec), _samples(source, number, spec))
        if number == chosen.part:
            part = _with_frame(part, chosen.colour, frame)
        if rate is not None:
            part.spec.attribute("FramesPerSecond", oiio.TypeDesc("rational"), (rate.numerator, rate.denominator))
        parts.append(part)
    source.close()
    return parts


def write_parts(path: Path, parts: Sequence[Part]) -> str:
    """Write a file of these parts.

    Returns:
        What went wrong; "" where nothing did.
    """
    output = oiio.ImageOutput.create(str(path))
    if output is None:
        return str(oiio.geterror())
    specs = tuple(part.spec for part in parts)
    good = output.open(str(path), specs) if len(specs) > 1 else output.open(str(path), specs[0])
    for number, part in enumerate(parts):
        good = good and (number == 0 or output.open(str(path), part.spec, "AppendSubimage"))
        good = good and output.write_image(part.pixels)
    problem = output.geterror()
    closed = output.close()
    return "" if good and closed else str(problem or output.geterror() or "the file cannot be written")


def _samples(source: oiio.ImageInput, number: int, spec: oiio.ImageSpec) -> Samples:
    kinds = {str(spec.channelformat(place)) for place in range(spec.nchannels)}
    # Neither whole numbers of 32 bits nor floats fit in the other.
    kind = oiio.DOUBLE if "uint" in kinds else spec.format
    return np.array(source.read_image(number, 0, 0, spec.nchannels, kind))


def _writable(spec: oiio.ImageSpec) -> oiio.ImageSpec:
    copy = oiio.ImageSpec(spec)
    compression = copy.get_string_attribute("compression").partition(":")[0]
    if compression and compression not in LOSSLESS:
        copy.attribute("compression", "zip")
    for name in ("openexr:dwaCompressionLevel", "openexr:chunkCount", "oiio:RowsPerChunk", "oiio:subimages"):
        copy.erase_attribute(name)
    copy.attribute("oiio:UnassociatedAlpha", 1)
    return copy


def _with_frame(part: Part, colour: Sequence[int], frame: Pixels) -> Part:
    left, top, width, height = display_window(part.spec)
    spec, pixels = part.spec, part.pixels
    if min(left, top) < 0 or left + width > spec.width or top + height > spec.height:
        spec, pixels = _grown(part, left, top, width, height)
        left, top, _, _ = display_window(spec)
    shown = pixels[top : top + height, left : left + width]
    for place, channel in enumerate(colour):
        shown[..., channel] = _as(frame[..., place], pixels.dtype)
    return Part(spec, pixels)


def _as(samples: Pixels, kind: npt.DTypeLike) -> Samples:
    """Samples of a frame in the type in which its file is read; floats stay what they are."""
    if np.dtype(kind).kind == "f" and samples.dtype.kind == "u":
        return np.asarray(samples.astype(np.float64) / np.iinfo(samples.dtype).max)
    return np.asarray(samples.astype(kind))


def _grown(part: Part, left: int, top: int, width: int, height: int) -> tuple[oiio.ImageSpec, Samples]:
    """The part with black around it, so that its data window holds all of its display window."""
    spec = oiio.ImageSpec(part.spec)
    x0, y0 = min(left, 0), min(top, 0)
    x1, y1 = max(left + width, spec.width), max(top + height, spec.height)
    pixels = np.zeros((y1 - y0, x1 - x0, spec.nchannels), part.pixels.dtype)
    pixels[-y0 : -y0 + spec.height, -x0 : -x0 + spec.width] = part.pixels
    spec.x, spec.y, spec.width, spec.height = spec.x + x0, spec.y + y0, x1 - x0, y1 - y0
    return spec, pixels
