"""What each output can say and hold, as one table: the writers keep to it, and the reference shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mive.base.samples import IN_MEMORY
from mive.media.extras import Extra, Kind
from mive.media.info import ClipInfo
from mive.settings import Codec

HDR: Final = (16, 18)
"""The transfers PQ and HLG, which 8 bits are too few for."""


@dataclass(frozen=True)
class Holding:
    """What a kind of output can hold.

    Attributes:
        kinds: what is carried over from a source, whatever its format.
        alike: what is carried besides from images of the output's own format.
        bits: the most bits of an integer sample.
        full_range: it can say that code values span the full range; else they are brought to the video range.
    """

    kinds: frozenset[Kind]
    alike: frozenset[Kind] = frozenset()
    bits: int = 16
    full_range: bool = True

    def lost(self, info: ClipInfo, *, alike: bool = False) -> list[str]:
        """What of a source the output does not hold, in words.

        Args:
            alike: the source is images of the output's own format.
        """
        held = self.kinds | self.alike if alike else self.kinds
        return list(dict.fromkeys(extra.what for extra in (*info.extras, *self._facts(info)) if extra.kind not in held))

    def _facts(self, info: ClipInfo) -> Iterator[Extra]:
        if info.timecode:
            yield Extra("timecode", "timecode")
        if info.variable_rate:
            yield Extra("times", "the uneven times of its frames")
        if info.pixel_aspect != 1:
            yield Extra("pixel aspect", f"the pixel aspect {info.pixel_aspect}")
        if info.chroma:
            yield Extra("chroma", f"{info.chroma} colour")
        if info.bits > self.bits and not IN_MEMORY[info.depth].is_float:
            yield Extra("depth", f"{info.bits}-bit samples")


_TIMED: Final[frozenset[Kind]] = frozenset({"sound", "times", "timecode", "chapters", "subtitles", "tags"})
CONTAINERS: Final[dict[str, frozenset[Kind]]] = {
    ".mp4": _TIMED | {"pixel aspect"},
    ".mov": _TIMED | {"pixel aspect", "reel"},
    ".mkv": _TIMED | {"metadata"},
}
"""What a container adds to its codec, by suffix. Matroska's own field for the pixel aspect is not written."""

CODECS_HOLD: Final[dict[Codec, Holding]] = {
    "h264": Holding(frozenset({"mastering", "pixel aspect"}), bits=10),
    "hevc": Holding(frozenset({"mastering", "pixel aspect"}), bits=10),
    "prores": Holding(frozenset({"alpha", "chroma"}), bits=10, full_range=False),
    "ffv1": Holding(frozenset({"alpha", "chroma"})),
}

IMAGES: Final[dict[str, Holding]] = {
    ".png": Holding(frozenset({"alpha", "icc", "cicp", "chroma", "pixel aspect"}), frozenset({"header"})),
    ".exr": Holding(
        frozenset({"chroma", "pixel aspect", "timecode"}),
        frozenset({"alpha", "premultiplied", "channels", "parts", "edges", "header", "icc", "cicp", "reel"}),
    ),
}
"""By suffix."""


def video_holding(suffix: str, codec: Codec) -> Holding:
    """What a video holds, by its container and its codec."""
    coded = CODECS_HOLD[codec]
    return Holding(coded.kinds | CONTAINERS[suffix], bits=coded.bits, full_range=coded.full_range)
