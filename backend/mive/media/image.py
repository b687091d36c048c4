"""One image file: its header and its pixels, through OpenImageIO."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenImageIO as oiio

from mive.base.rates import exact_rate
from mive.base.samples import BY_NAME, IN_MEMORY, SAMPLES, Depth
from mive.errors import MediaError
from mive.media import timecode
from mive.media.containers import open_plain, read_head
from mive.media.extras import Extra, extras_of_image
from mive.media.info import Pixels
from mive.media.orientation import Orientation, from_exif
from mive.media.parts import Picture, choose_picture
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

_WIDE = ("uint", "int")


@dataclass(frozen=True)
class ImageHead:
    """What an image's header says; sizes in pixels as shown.

    Attributes:
        chosen: the picture that is read.
        specs: the headers of all parts, as OpenImageIO has them.
        extras: what the file holds besides the picture.
        as_stored: its channels R, G and B are what is shown, neither turned nor grey, and no part is deep.
    """

    width: int
    height: int
    depth: Depth
    bits: int
    rate: Fraction | None
    timecode: str | None
    pixel_aspect: Fraction
    chromaticities: tuple[float, ...] | None
    chosen: Picture | None
    specs: tuple[oiio.ImageSpec, ...]
    extras: tuple[Extra, ...]
    as_stored: bool


@dataclass(frozen=True)
class Image:
    """Pixels ``[H, W, C]`` of an image in its own depth, upright, with the channels' names.

    Attributes:
        problem: what the reader complained of; "" where all is well.
    """

    path: Path
    pixels: Pixels
    channels: tuple[str, ...]
    problem: str = ""

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
def probe_image(path: Path, layer: str | None = None) -> ImageHead:
    """Read an image's header.

    Args:
        layer: the part or layer that is the picture; None is the beauty, by its name.

    Raises:
        MediaError: the file is missing or is no image, or its picture is not to be told.
    """
    source = open_image(path)
    specs = specs_of(source)
    source.close()
    return _head(choose_picture(path, specs, layer), specs)


@reads
def probe_matte(path: Path) -> ImageHead:
    """Read the header of an image that need hold no picture: a lone channel of any name is a matte.

    Raises:
        MediaError: the file is missing or is no image.
    """
    source = open_image(path)
    specs = specs_of(source)
    source.close()
    return _head(_picture_of_matte(path, specs), specs)


def _head(chosen: Picture | None, specs: tuple[oiio.ImageSpec, ...]) -> ImageHead:
    spec = specs[0 if chosen is None else chosen.part]
    depth, bits = _depth(spec, chosen)
    aspect = Fraction(spec.get_float_attribute("PixelAspectRatio", 1.0)).limit_denominator(1000)
    aspect = aspect if aspect > 0 else Fraction(1)
    turned = _orientation(spec).transpose
    _, _, width, height = display_window(spec)
    chromaticities = spec.getattribute("chromaticities")
    return ImageHead(
        width=height if turned else width,
        height=width if turned else height,
        depth=depth,
        bits=bits,
        rate=_rate(spec),
        timecode=_timecode(spec),
        pixel_aspect=1 / aspect if turned else aspect,
        chromaticities=chromaticities if isinstance(chromaticities, tuple) else None,
        chosen=chosen,
        specs=specs,
        extras=() if chosen is None else tuple(extras_of_image(specs, chosen, display_window(spec))),
        as_stored=_is_as_stored(specs, chosen),
    )


def _is_as_stored(specs: tuple[oiio.ImageSpec, ...], chosen: Picture | None) -> bool:
    if chosen is None or len(chosen.colour) != 3 or any(spec.deep for spec in specs):
        return False
    return _orientation(specs[chosen.part]) == Orientation()


@reads
def read_image(path: Path, layer: str | None = None) -> Image:
    """Read an image's picture and its alpha, within its display window, alpha not multiplied in.

    Args:
        layer: as in `probe_image`.

    Raises:
        MediaError: the file is missing, is no image, or is damaged, or its picture is not to be told.
    """
    source = open_image(path)
    specs = specs_of(source)
    return _read(path, source, specs, choose_picture(path, specs, layer))


@reads
def read_matte(path: Path) -> Image:
    """Read all channels of an image that need hold no picture; else as `read_image`."""
    source = open_image(path)
    specs = specs_of(source)
    return _read(path, source, specs, _picture_of_matte(path, specs))


def _picture_of_matte(path: Path, specs: tuple[oiio.ImageSpec, ...]) -> Picture | None:
    try:
        return choose_picture(path, specs)
    except MediaError:
        return None


def _read(path: Path, source: oiio.ImageInput, specs: tuple[oiio.ImageSpec, ...], chosen: Picture | None) -> Image:
    part = 0 if chosen is None else chosen.part
    spec = specs[part]
    places = dict(enumerate(spec.channelnames)) if chosen is None else _named(chosen)
    first, last = min(places), max(places)
    stored = str(_kind(spec, chosen))
    # Scaled to 0..1, as the library does it, wide whole numbers would be no ids any more.
    kind = oiio.TypeDesc(stored if stored in _WIDE else IN_MEMORY[_depth(spec, chosen)[0]].image)
    pixels = source.read_image(part, 0, first, last + 1, kind)
    problem = source.geterror()
    source.close()
    if pixels is None:
        raise MediaError(
            f"Cannot read {path}: {problem.splitlines()[0] if problem else 'it is damaged'}",
            expected="a complete image file",
            fix="Render or copy the frame again",
        )
    picked = np.asarray(pixels)[..., [place - first for place in places]]
    upright = _orientation(spec).apply(_displayed(picked, spec))
    return Image(path, upright, tuple(places.values()), problem.splitlines()[0] if problem else "")


def _named(chosen: Picture) -> dict[int, str]:
    kinds = dict(zip(chosen.colour, "RGB" if len(chosen.colour) == 3 else "Y", strict=True))
    return kinds if chosen.alpha is None else {**kinds, chosen.alpha: "A"}


def specs_of(source: oiio.ImageInput) -> tuple[oiio.ImageSpec, ...]:
    """The headers of all parts of an open image; it is left at the first."""
    specs: list[oiio.ImageSpec] = []
    while source.seek_subimage(len(specs), 0):
        specs.append(source.spec())
    source.geterror()
    source.seek_subimage(0, 0)
    return tuple(specs)


def display_window(spec: oiio.ImageSpec) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is shown, in the coordinates of the pixels that are stored.

    Only EXR knows a window; what other formats call an offset says where on a page they lie.
    """
    if spec.get_string_attribute("openexr:lineOrder"):
        return spec.full_x - spec.x, spec.full_y - spec.y, spec.full_width, spec.full_height
    return 0, 0, spec.width, spec.height


def _rate(spec: oiio.ImageSpec) -> Fraction | None:
    """Of EXR; or of DPX, whose film and television headers each have a field for it."""
    rate = spec.getattribute("FramesPerSecond")
    if isinstance(rate, tuple) and all(number > 0 for number in rate):
        return Fraction(*rate)
    for name in ("dpx:FrameRate", "dpx:TemporalFrameRate"):
        if found := exact_rate(spec.get_float_attribute(name, 0.0)):
            return found
    return None


def _timecode(spec: oiio.ImageSpec) -> str | None:
    packed = spec.getattribute("smpte:TimeCode")
    return timecode.unpack(packed[0]) if isinstance(packed, tuple) else None


def open_image(path: Path) -> oiio.ImageInput:
    """Open an image file of a format that MIVE reads.

    Raises:
        MediaError: it is missing, or is no such image.
    """
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


def _depth(spec: oiio.ImageSpec, chosen: Picture | None) -> tuple[Depth, int]:
    kind = str(_kind(spec, chosen))
    sample = next((sample for sample in SAMPLES if sample.image == kind), BY_NAME["float"])
    bits = sample.bits if sample.is_float else spec.get_int_attribute("oiio:BitsPerSample", sample.bits)
    return sample.depth, bits


def _kind(spec: oiio.ImageSpec, chosen: Picture | None) -> oiio.TypeDesc:
    """The type of the picture's samples; other channels of its part may be of others."""
    return spec.channelformat(0 if chosen is None else chosen.colour[0])


def _orientation(spec: oiio.ImageSpec) -> Orientation:
    return from_exif(spec.get_int_attribute("Orientation", 1))


def _displayed(pixels: Pixels, spec: oiio.ImageSpec) -> Pixels:
    """What the display window shows of pixels ``[H, W, C]`` that may fill less of it, or more (EXR)."""
    left, top, width, height = display_window(spec)
    if (left, top, width, height) == (0, 0, spec.width, spec.height):
        return pixels
    shown = np.zeros((height, width, pixels.shape[2]), pixels.dtype)
    x0, y0, x1, y1 = max(0, left), max(0, top), min(spec.width, left + width), min(spec.height, top + height)
    if x1 > x0 and y1 > y0:
        shown[y0 - top : y1 - top, x0 - left : x1 - left] = pixels[y0:y1, x0:x1]
    return shown
