"""Mastering display and content light level (SMPTE ST 2086, CTA-861.3), from a source to an encoder."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Final

import av

from mive.media.clip import Clip
from mive.media.extras import side_data
from mive.media.video import VideoClip

_OPTIONS: Final = {
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libx265": ("x265-params", "master-display", "max-cll"),
}
"""The option of an encoder that takes more options, and its names for display and light levels."""
_CHROMATICITY: Final = Fraction(1, 50000)
_LUMINANCE: Final = Fraction(1, 10000)
_DISPLAY: Final = struct.Struct("=20i2i")
"""FFmpeg's AVMasteringDisplayMetadata: x and y of red, green, blue and white, least and most luminance, two flags."""


def with_mastering(encoder: str, options: dict[str, str], clip: Clip | None) -> dict[str, str]:
    """An encoder's options, and the clip's mastering metadata among them where the encoder takes it."""
    name = {
        "libx265": ("x265-params", "master-display", "max-cll"),
        "libx264": ("x264-params", "mastering-display", "cll"),
    }
    if encoder not in name or not isinstance(clip, VideoClip):
        return options
    option, display, light = name[encoder]
    found = mastering_of(next(clip.stored_frames(0, 0)))
    said = [f"{key}={value}" for key, value in zip((display, light), found, strict=True) if value]
    if not said:
        return options
    before = options.get(option)
    return {**options, option: ":".join([before, *said] if before else said)}


def mastering_of(frame: av.VideoFrame) -> tuple[str, str]:
    """The mastering display and the light levels of a frame, as x264 and x265 write them; "" where there are none."""
    sides = side_data(frame)
    display, light = sides.get("MASTERING_DISPLAY_METADATA", b""), sides.get("CONTENT_LIGHT_LEVEL", b"")
    return _display(display), ",".join(map(str, struct.unpack("=2I", light[:8]))) if len(light) >= 8 else ""


def _display(data: bytes) -> str:
    if len(data) < _DISPLAY.size:
        return ""
    *numbers, has_primaries, has_luminance = _DISPLAY.unpack(data[: _DISPLAY.size])
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    if not (has_primaries and has_luminance and all(denominator for _, denominator in pairs)):
        return ""
    values = [Fraction(*pair) for pair in pairs]
    red, green, blue, white = (
        f"({round(values[place] / _CHROMATICITY)},{round(values[place + 1] / _CHROMATICITY)})" for place in (0, 2, 4, 6)
    )
    least, most = (round(value / _LUMINANCE) for value in values[8:])
    return f"G{green}B{blue}R{red}WP{white}L({most},{least})"
