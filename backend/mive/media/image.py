"""One image file: its header and its pixels, through OpenImageIO."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenImageIO as oiio

from mive.base.samples import BY_NAME, IN_MEMORY, SAMPLES, Depth
from mive.errors import MediaError
from mive.media import timecode
from mive.media.containers import open_plain, read_head
from mive.media.info import Pixels
from mive.media.orientation import Orientation, from_exif
from mive.media.reading import reads

_BEGINNINGS = {
    "png": (b"\x89PNG",),
    "jpeg": (b"\xff\xd8\xff",),
    "openexr": (b"v/1\x01",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "dpx": (b"SDPX", b"XPDS"),
    "cineon": (b"\x80\x2a\x5f\xd7", b"\xd7\x5f\x2a\x80"),
    "bmp": (b"BM",),
    "gif": (b"GIF8",),
    "webp": (b"RIFF",),
    "jpeg2000": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "jpegxl": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
}
"""OpenImageIO's names of the formats that are read, and how their files begin."""


@dataclass(frozen=True)
class ImageHead:
    """What an image's header says; sizes in pixels as shown."""

    width: int
    height: int
    depth: Depth
    bits: int
    rate: Fraction | None
    timecode: str | None
    pixel_aspect: Fraction
    chromaticities: tuple[float, ...] | None


@dataclass(frozen=True)
class Image:
    """The pixels ``[H, W, C]`` of an image in its own depth, upright, with channel names."""

    path: Path
    pixels: Pixels
    channels: tuple[str, ...]

    def rgb(self) -> Pixels:
        """``[H, W, 3]``; a grey image gives three equal channels.

        Raises:
            MediaError: there is neither RGB nor one grey channel.
        """
        picked = [index for index in map(self._find, "RGB") if index is not None]
        if len(picked) == 3:
            return np.ascontiguousarray(self.pixels[..., picked])
        grey = self.grey()
        if grey is None:
            raise MediaError(
                f"{self.path} has no picture to read among its channels ({', '.join(self.channels[:8])})",
                expected="channels R, G and B, or one grey channel Y",
                fix="Render the beauty pass into R, G, B",
            )
        return np.repeat(grey[..., None], 3, axis=2)

    def grey(self) -> Pixels | None:
        """``[H, W]`` of a grey image; None where it has colours."""
        index = self._find("Y")
        if index is None and len(self.channels) == 1:
            index = 0
        return None if index is None else self.pixels[..., index]

    def alpha(self) -> Pixels | None:
        """``[H, W]`` of the alpha channel; None where there is none."""
        index = self._find("A")
        return None if index is None else self.pixels[..., index]

    def _find(self, name: str) -> int | None:
        return self.channels.index(name) if name in self.channels else None


@reads
def probe_image(path: Path) -> ImageHead:
    """Read an image's header.

    Raises:
        MediaError: the file is missing or is no image.
    """
    source = _open(path)
    spec = source.spec()
    source.close()
    depth, bits = _depth(spec)
    aspect = Fraction(spec.get_float_attribute("PixelAspectRatio", 1.0)).limit_denominator(1000)
    aspect = aspect if aspect > 0 else Fraction(1)
    turned = _orientation(spec).transpose
    width, height = spec.full_width, spec.full_height
    rate = spec.getattribute("FramesPerSecond")
    chromaticities = spec.getattribute("chromaticities")
    packed = spec.getattribute("smpte:TimeCode")
    return ImageHead(
        width=height if turned else width,
        height=width if turned else height,
        depth=depth,
        bits=bits,
        rate=Fraction(*rate) if isinstance(rate, tuple) and all(rate) else None,
        timecode=timecode.unpack(packed[0]) if isinstance(packed, tuple) else None,
        pixel_aspect=1 / aspect if turned else aspect,
        chromaticities=chromaticities if isinstance(chromaticities, tuple) else None,
    )


@reads
def read_image(path: Path) -> Image:
    """Read all channels of an image, within its display window, alpha not multiplied in.

    Raises:
        MediaError: the file is missing, is no image, or is damaged.
    """
    source = _open(path)
    spec = source.spec()
    kind = oiio.TypeDesc(IN_MEMORY[_depth(spec)[0]].image)
    pixels = source.read_image(0, 0, 0, spec.nchannels, kind)
    problem = source.geterror()
    source.close()
    if pixels is None:
        raise MediaError(
            f"Cannot read {path}: {problem.splitlines()[0] if problem else 'it is damaged'}",
            expected="a complete image file",
            fix="Render or copy the frame again",
        )
    upright = _orientation(spec).apply(_displayed(np.asarray(pixels), spec))
    return Image(path, upright, tuple(spec.channelnames))


def _open(path: Path) -> oiio.ImageInput:
    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)
    kind = _format_of(path)
    source = None if kind is None else oiio.ImageInput.open(str(path), config)  # noqa: TID251
    # Where OpenImageIO's own reader gives up, it tries others, which may follow what the file or its name says.
    if source is None or source.format_name() != kind:
        problem = oiio.geterror() or "unknown format"
        raise MediaError(
            f"Cannot open {path}: {problem.splitlines()[0]}",
            expected="a PNG, JPEG, EXR, TIFF or DPX image",
            fix="Check that the file is complete and opens elsewhere",
        )
    return source


def _format_of(path: Path) -> str | None:
    descriptor = open_plain(path)
    try:
        head = read_head(descriptor)
    finally:
        os.close(descriptor)
    named = (kind for kind, beginnings in _BEGINNINGS.items() if head.startswith(beginnings))
    return next(named, "targa" if _is_targa(head) else None)


def _is_targa(head: bytes) -> bool:
    """Files in this format begin with no word, but no text has its numbers of colour maps and kinds of picture."""
    return len(head) >= 18 and head[1] in (0, 1) and head[2] in (1, 2, 3, 9, 10, 11) and head[16] in (8, 15, 16, 24, 32)


def _depth(spec: oiio.ImageSpec) -> tuple[Depth, int]:
    kind = str(spec.format)
    sample = next((sample for sample in SAMPLES if sample.image == kind), BY_NAME["float"])
    bits = sample.bits if sample.is_float else spec.get_int_attribute("oiio:BitsPerSample", sample.bits)
    return sample.depth, bits


def _orientation(spec: oiio.ImageSpec) -> Orientation:
    return from_exif(spec.get_int_attribute("Orientation", 1))


def _displayed(pixels: Pixels, spec: oiio.ImageSpec) -> Pixels:
    """The display window of an image whose data window may be smaller or larger (EXR)."""
    left, top = spec.x - spec.full_x, spec.y - spec.full_y
    if (left, top, spec.width, spec.height) == (0, 0, spec.full_width, spec.full_height):
        return pixels
    shown = np.zeros((spec.full_height, spec.full_width, spec.nchannels), pixels.dtype)
    x0, y0 = max(0, left), max(0, top)
    x1 = min(spec.full_width, left + spec.width)
    y1 = min(spec.full_height, top + spec.height)
    if x1 > x0 and y1 > y0:
        shown[y0:y1, x0:x1] = pixels[y0 - top : y1 - top, x0 - left : x1 - left]
    return shown
