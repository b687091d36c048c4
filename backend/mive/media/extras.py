"""What files hold besides the colours of their pictures, so that an output can say what it leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import av
import OpenImageIO as oiio
from av.container import InputContainer
from av.video.stream import VideoStream

from mive.media.parts import Picture, part_name
from mive.media.tracks import holds_alpha, video_tracks

Kind = Literal[
    "alpha", "captions", "channels", "chapters", "chroma", "cicp", "data", "depth", "dynamic", "edges", "header", "icc",
    "mastering", "metadata", "parts", "pixel aspect", "premultiplied", "reel", "sound", "subtitles", "tags",
    "timecode", "times", "tracks",
]  # fmt: skip


@dataclass(frozen=True)
class Extra:
    """Something that a file holds besides colours.

    Attributes:
        kind: by which outputs say whether they hold it.
        what: in words, for people.
    """

    kind: Kind
    what: str


_SIDE: Final[Mapping[str, Extra]] = {
    "MASTERING_DISPLAY_METADATA": Extra("mastering", "mastering display metadata"),
    "CONTENT_LIGHT_LEVEL": Extra("mastering", "content light levels"),
    "DYNAMIC_HDR_PLUS": Extra("dynamic", "HDR10+ metadata"),
    "DYNAMIC_HDR_VIVID": Extra("dynamic", "HDR Vivid metadata"),
    "DOVI_METADATA": Extra("dynamic", "Dolby Vision metadata"),
    "DOVI_RPU_BUFFER": Extra("dynamic", "Dolby Vision metadata"),
    "A53_CC": Extra("captions", "closed captions"),
    "ICC_PROFILE": Extra("icc", "an ICC profile"),
    "STEREO3D": Extra("dynamic", "stereo metadata"),
    "SPHERICAL": Extra("dynamic", "360° metadata"),
}
"""By FFmpeg's names of what accompanies a frame."""

_OWN_TAGS: Final = ("encoder", "major_brand", "minor_version", "compatible_brands", "timecode", "duration")
"""What a writer says of itself, or says anew."""

_KNOWN_TAGS: Final = (
    "title", "artist", "album", "album_artist", "comment", "composer", "copyright", "creation_time", "date",
    "description", "genre", "keywords", "location", "make", "model", "performer", "synopsis",
)  # fmt: skip
"""Those that MP4 and QuickTime have a place for."""

_TECHNICAL: Final = (
    "oiio:", "openexr:", "png:", "jpeg:", "tiff:", "smpte:", "compression", "name", "chunkCount", "DateTime",
    "Orientation", "PixelAspectRatio", "XResolution", "YResolution", "ResolutionUnit", "screenWindowCenter",
    "screenWindowWidth", "FramesPerSecond", "chromaticities", "ICCProfile", "CICP", "planarconfig", "dpx:",
    "Exif:ColorSpace", "view", "Software",
)  # fmt: skip
"""How a header begins to speak of its own file rather than of the shot."""


def extras_of_image(specs: Sequence[oiio.ImageSpec], chosen: Picture, window: tuple[int, int, int, int]) -> list[Extra]:
    """What an image holds besides the chosen picture.

    Args:
        window: what is shown of the stored pixels: left, top, width, height.
    """
    spec = specs[chosen.part]
    found = [] if chosen.alpha is None else [_alpha(spec)]
    taken = {*chosen.colour, chosen.alpha}
    others = [name for place, name in enumerate(spec.channelnames) if place not in taken]
    if others:
        found.append(Extra("channels", f"the channels {_some(others)}"))
    parts = [part_name(each, part, len(specs)) for part, each in enumerate(specs) if part != chosen.part]
    if parts:
        found.append(Extra("parts", f"the parts {_some(parts)}"))
    if window != (0, 0, spec.width, spec.height):
        found.append(Extra("edges", "the data window, which is not the display window"))
    if spec.getattribute("ICCProfile") is not None:
        found.append(Extra("icc", "an ICC profile"))
    if spec.getattribute("CICP") is not None:
        found.append(Extra("cicp", "colour tags (cICP)"))
    fields = [each.name for each in spec.extra_attribs if not each.name.startswith(_TECHNICAL)]
    if fields:
        found.append(Extra("header", f"header fields ({_some(fields)})"))
    return found


def _alpha(spec: oiio.ImageSpec) -> Extra:
    if spec.get_int_attribute("oiio:UnassociatedAlpha"):
        return Extra("alpha", "alpha")
    return Extra("premultiplied", "alpha, which is multiplied into the colours")


def extras_of_video(container: InputContainer, stream: VideoStream, first: av.VideoFrame) -> list[Extra]:
    """What a video file holds besides the pictures of a stream; ``first`` is its first frame."""
    found = list(_beside(container, stream))
    if holds_alpha(stream) or any(component.is_alpha for component in first.format.components):
        found.insert(0, Extra("alpha", "alpha"))
    sides = set(side_data(first))
    found += dict.fromkeys(_SIDE[name] for name in sorted(sides & _SIDE.keys()))
    return found


def side_data(frame: av.VideoFrame) -> dict[str, bytes]:
    """What accompanies a frame, by FFmpeg's names."""
    # PyAV's stubs only know the motion vectors among the side data.
    return {side.type.name: bytes(side) for side in cast("Iterable[Any]", frame.side_data)}


def _beside(container: InputContainer, stream: VideoStream) -> Iterator[Extra]:
    count = len(video_tracks(container)) - 1
    if count:
        yield Extra("tracks", f"{count} other video track{'s' if count > 1 else ''}")
    if len(container.streams.video) > count + 1:
        yield Extra("tracks", "a cover picture")
    if container.streams.subtitles:
        yield Extra("subtitles", "subtitles")
    if container.streams.audio:
        yield Extra("sound", "sound")
    if container.chapters():
        yield Extra("chapters", "chapters")
    data = [each for each in container.streams.data if "timecode" not in each.metadata and not _of_chapters(each)]
    if data:
        yield Extra("data", f"{len(data)} data track{'s' if len(data) > 1 else ''}")
    if reel_of(container):
        yield Extra("reel", f"the reel name {reel_of(container)}")
    known = [name for name in tags_to_keep(container) if name.lower() in _KNOWN_TAGS]
    if known:
        yield Extra("tags", f"tags ({_some(known)})")
    unknown = [name for name in tags_to_keep(container) if name not in known]
    if unknown:
        yield Extra("metadata", f"metadata ({_some(unknown)})")


def _of_chapters(stream: object) -> bool:
    """QuickTime keeps chapters in a track of text."""
    return getattr(stream, "metadata", {}).get("handler_name") == "SubtitleHandler"


def reel_of(container: InputContainer) -> str:
    """The name of the reel beside a timecode; "" where there is none."""
    names = (stream.metadata.get("reel_name", "") for stream in container.streams)
    return next(filter(None, names), "")


def tags_to_keep(container: InputContainer) -> dict[str, str]:
    """What a file says of its shot, by name."""
    return {name: value for name, value in container.metadata.items() if name.lower() not in _OWN_TAGS}


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
