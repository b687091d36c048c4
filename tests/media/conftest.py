"""Tiny clips, made at test time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import OpenImageIO as oiio
import pytest

Frames = list[np.ndarray[Any, Any]]


@pytest.fixture
def noise() -> Callable[..., Frames]:
    """``noise(count, width, height, dtype)``: random RGB frames, the same on every call."""

    def make(count: int = 6, width: int = 32, height: int = 24, dtype: Any = np.uint8) -> Frames:
        random = np.random.default_rng(7)
        if dtype == np.float32:
            return [random.normal(size=(height, width, 3)).astype(dtype) for _ in range(count)]
        top = np.iinfo(dtype).max
        shape = (height, width, 3)
        return [random.integers(0, top, shape, dtype, endpoint=True) for _ in range(count)]

    return make


@pytest.fixture
def write_video() -> Callable[..., Path]:
    """Encode RGB frames with PyAV, with whatever tags a test is about."""

    def write(
        path: Path,
        frames: Sequence[np.ndarray[Any, Any]],
        codec: str = "ffv1",
        pixel_format: str = "bgr0",
        rate: Fraction = Fraction(24),
        *,
        options: dict[str, str] | None = None,
        pts: Sequence[int] | None = None,
        time_base: Fraction | None = None,
        tags: tuple[int, int, int, int] | None = None,
        rotation: int | None = None,
        timecode: str | None = None,
        audio: str | None = None,
    ) -> Path:
        height, width = frames[0].shape[:2]
        with av.open(str(path), "w") as container:
            stream = container.add_stream(
                codec,
                rate=rate,
                options=options or {},
                width=width,
                height=height,
                time_base=time_base or 1 / rate,
            )
            stream.pix_fmt = pixel_format
            context = stream.codec_context
            if tags is not None:
                context.colorspace, context.color_primaries, context.color_trc = tags[:3]
                context.color_range = tags[3]
            if rotation is not None:
                stream.set_display_rotation(rotation)
            if timecode is not None:
                stream.metadata["timecode"] = timecode
            sound = container.add_stream(audio, rate=48000) if audio else None
            container.start_encoding()
            for number, frame in enumerate(frames):
                packed = "rgb24" if frame.dtype == np.uint8 else "rgb48le"
                if pixel_format in ("gray", "gray16le") or pixel_format.startswith("gbrp"):
                    packed = pixel_format
                picture = av.VideoFrame.from_ndarray(frame, format=packed)
                picture.pts = number if pts is None else pts[number]
                picture.time_base = time_base or 1 / rate
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
            if sound is not None:
                for packet in tone(sound, len(frames) / rate):
                    container.mux(packet)
        return path

    def tone(stream: av.AudioStream, seconds: Fraction) -> list[av.Packet]:
        count = int(seconds * 48000)
        samples = np.sin(np.arange(count) * 0.05) * 8000
        frame = av.AudioFrame.from_ndarray(np.repeat(samples.astype(np.int16), 2)[None], format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        return [*stream.encode(frame), *stream.encode(None)]

    return write


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """Write one image ``[H, W]`` or ``[H, W, C]`` with OpenImageIO, with header attributes."""

    def write(path: Path, pixels: np.ndarray[Any, Any], kind: Any = None, **attributes: Any) -> Path:
        kinds = {"uint8": oiio.UINT8, "uint16": oiio.UINT16, "float32": oiio.FLOAT}
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], kind or kinds[str(pixels.dtype)])
        for name, value in attributes.items():
            spec.attribute(name.replace("__", ":"), value)
        output = oiio.ImageOutput.create(str(path))
        assert output is not None
        assert output.open(str(path), spec), output.geterror()
        assert output.write_image(np.ascontiguousarray(pixels)), output.geterror()
        output.close()
        return path

    return write
