"""What is known about a clip, as a message and back."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

from mive.base.samples import IN_MEMORY, listed
from mive.errors import RequestError
from mive.media.info import UNSPECIFIED, ClipInfo, ColourTags
from mive.v1 import media_pb2
from mive.wire.words import PIXEL_FORMAT, fill, number_of

_SCALARS = (
    "width", "height", "frames", "timecode", "has_audio", "variable_rate", "is_sequence", "bits", "first_number",
    "rate_guessed",
)  # fmt: skip
_DEPTHS = {number_of(PIXEL_FORMAT, sample.name): depth for depth, sample in IN_MEMORY.items()}


def clip_to_message(info: ClipInfo) -> media_pb2.ClipInfo:
    """The clip's facts as a message.

    Raises:
        RequestError: a number or path that the contract cannot carry.
    """
    message = media_pb2.ClipInfo(
        rate=rational_to_message(info.rate),
        colour=colour_to_message(info.colour),
        pixel_aspect=rational_to_message(info.pixel_aspect),
        start=rational_to_message(info.start),
        pts=info.pts or (),
        chromaticities=info.chromaticities or (),
    )
    named = {"path": str(info.path), "depth": IN_MEMORY[info.depth].name}
    fill(message, {**named, **{name: getattr(info, name) for name in _SCALARS}}, "clip")
    if info.time_base is not None:
        message.time_base.CopyFrom(rational_to_message(info.time_base))
    try:
        message.files.extend(str(path) for path in info.files)
    except UnicodeError as error:
        raise RequestError(
            "a file's name is not Unicode",
            expected="names in Unicode",
            fix="Rename the files",
            field="clip",
        ) from error
    return message


def clip_from_message(message: media_pb2.ClipInfo) -> ClipInfo:
    """The facts that a message holds.

    Raises:
        RequestError: a fact is missing or cannot be.
    """
    scalars = {name: getattr(message, name) for name in _SCALARS if name != "timecode"}
    if message.depth not in _DEPTHS:
        raise _wrong("depth", f"{message.depth} is no depth", listed(IN_MEMORY.values()))
    if not message.width or not message.height or not message.frames:
        raise _wrong("frames", "the clip is empty", "a width, a height and a number of frames of 1 or more")
    if len(message.chromaticities) not in (0, 8):
        raise _wrong("chromaticities", f"there are {len(message.chromaticities)}", "8 numbers or none")
    if bool(message.pts) != message.HasField("time_base"):
        raise _wrong("time_base", "pts and time_base belong together", "both or none")
    return ClipInfo(
        path=Path(message.path),
        rate=_positive(message.rate, "rate"),
        depth=_DEPTHS[message.depth],
        colour=colour_from_message(message.colour),
        timecode=message.timecode if message.HasField("timecode") else None,
        pixel_aspect=_positive(message.pixel_aspect, "pixel_aspect")
        if message.HasField("pixel_aspect")
        else Fraction(1),
        start=rational_from_message(message.start, "clip.start") if message.HasField("start") else Fraction(0),
        pts=tuple(message.pts) or None,
        time_base=_positive(message.time_base, "time_base") if message.HasField("time_base") else None,
        files=tuple(map(Path, message.files)),
        chromaticities=tuple(message.chromaticities) or None,
        **scalars,
    )


def colour_to_message(colour: ColourTags) -> media_pb2.ColourTags:
    """Colour tags as a message."""
    message = media_pb2.ColourTags(full_range=colour.full_range)
    fill(message, {name: getattr(colour, name) for name in ("matrix", "primaries", "transfer")}, "colour")
    return message


def colour_from_message(message: media_pb2.ColourTags) -> ColourTags:
    """The colour tags that a message holds; what is not set is unspecified."""

    def code(name: Literal["matrix", "primaries", "transfer"]) -> int:
        return int(getattr(message, name)) if message.HasField(name) else UNSPECIFIED

    return ColourTags(code("matrix"), code("primaries"), code("transfer"), message.full_range)


def rational_to_message(value: Fraction, at: str = "clip") -> media_pb2.Rational:
    """A fraction as a message.

    Raises:
        RequestError: it does not fit into two 64-bit numbers.
    """
    message = media_pb2.Rational()
    fill(message, {"numerator": value.numerator, "denominator": value.denominator}, at)
    return message


def rational_from_message(message: media_pb2.Rational, at: str) -> Fraction:
    """The fraction that a message holds.

    Raises:
        RequestError: its denominator is not positive.
    """
    if message.denominator < 1:
        raise RequestError(
            f"{message.numerator}/{message.denominator} is no fraction",
            expected="a denominator of 1 or more",
            fix="Correct it",
            field=at,
        )
    return Fraction(message.numerator, message.denominator)


def _positive(message: media_pb2.Rational, name: str) -> Fraction:
    value = rational_from_message(message, f"clip.{name}")
    if value <= 0:
        raise _wrong(name, f"{value} is not positive", "more than 0")
    return value


def _wrong(name: str, what: str, expected: str) -> RequestError:
    return RequestError(what, expected=expected, fix=f"Correct the clip's {name}", field=f"clip.{name}")
