"""Requests, mattes and clips that are spoilt in every way, each from a number alone."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import OpenImageIO as oiio
from google.protobuf.descriptor import FieldDescriptor

from mive.media import ClipInfo, open_writer
from mive.request import FrameRange
from mive.v1 import media_pb2
from mive.wire.chunks import CHUNK_BYTES
from mive.wire.runs import encode_runs

WIDTH, HEIGHT, COUNT = 32, 24, 3
NUMBERS = (0, 1, 2, 3, 7, 255, 16_384, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -1, -(2**31))
REALS = (0.0, -0.0, -1.0, 0.5, 1e-320, 1e308, math.nan, math.inf, -math.inf)
TEXTS = (
    "", " ", "a", "a" * 300, "ü" * 5000, "\0", "\n\x1b[2J", "%s%n", "../../etc/passwd", "/", "/dev/zero", "/dev/stdin",
    "/proc/self/mem", "/dev/full", "/dev/shm", "//", "-", "shot.####.exr", "/tmp/%04d.png", "-1", "\u202e\U0010ffff",
    "a\u0301.png", "CON", "tiny", "0" * 64, "g" * 64, "NaN", "{}", "'; DROP TABLE jobs; --", "24:00:00:99",
)  # fmt: skip

Files: TypeAlias = dict[str, bytes]


@dataclass(frozen=True)
class Material:
    """Things that are whole, to be spoilt.

    Attributes:
        clips, mattes: files of the same few frames, by name.
        pixels: the clip's frames as they are in memory.
        runs: the matte's.
    """

    clips: Files
    mattes: Files
    pixels: bytes
    runs: media_pb2.MatteRuns

    @classmethod
    def make(cls, folder: Path) -> Material:
        frames = np.random.default_rng(0).integers(0, 255, (COUNT, HEIGHT, WIDTH, 3), np.uint8)
        ids = np.zeros((COUNT, HEIGHT, WIDTH), np.uint8)
        ids[:, 4:16, 6:24] = 1
        grey = np.repeat(ids[..., None], 3, 3)
        clips = _videos(folder, frames, ("clip.mkv", "clip.mov", "clip.mp4"))
        clips |= _images(
            folder, frames[0], ("clip.png", "clip.exr", "clip.tif", "clip.dpx", "clip.jpg", "clip.bmp", "clip.tga")
        )
        mattes = _videos(folder, grey, ("matte.mkv",)) | _images(
            folder, ids[0], ("matte.png", "matte.exr", "matte.tif")
        )
        return cls(clips, mattes, frames.tobytes(), encode_runs(list(ids)))


def _videos(folder: Path, frames: np.ndarray[Any, Any], names: list[str]) -> Files:
    for name in names:
        info = ClipInfo(folder / name, WIDTH, HEIGHT, COUNT, Fraction(24))
        with open_writer(folder / name, info, FrameRange(0, COUNT - 1)) as writer:
            for frame in frames:
                writer.write(frame)
    return {name: (folder / name).read_bytes() for name in names}


def _images(folder: Path, frame: np.ndarray[Any, Any], names: list[str]) -> Files:
    for name in names:
        # Ids have to stay whole numbers in a file of floats.
        samples = frame.astype(np.float32) if frame.ndim == 2 and name.endswith(".exr") else frame
        picture = oiio.ImageBuf(np.ascontiguousarray(samples))
        assert picture.write(str(folder / name)), oiio.geterror()
    return {name: (folder / name).read_bytes() for name in names}


def spoil_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bytes with some of them changed, left out, put in, repeated, or cut off."""
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
        at = rng.randrange(len(spoilt) + 1)
        size = rng.choice((1, 1, 2, 4, 16, 200))
        match rng.randrange(7):
            case 0 if spoilt:
                spoilt[at % len(spoilt)] ^= 1 << rng.randrange(8)
            case 1:
                spoilt[at : at + size] = rng.randbytes(size)
            case 2:
                del spoilt[at : at + size]
            case 3:
                spoilt[at:at] = rng.randbytes(size)
            case 4:
                spoilt[at:at] = spoilt[at : at + size]
            case 5:
                del spoilt[at:]
            case 6:
                # Sizes and counts are what allocations are made of.
                value = rng.choice((0, 1, 0x7F, 0xFF))
                spoilt[at : at + size] = bytes([value]) * len(spoilt[at : at + size])
    return bytes(spoilt)


def spoil_fields(rng: random.Random, message: Any) -> None:
    """Give some fields, however deep, values that nobody meant."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(_messages(message))
        _spoil_field(rng, rng.choice(places))


def _messages(message: Any) -> Iterator[Any]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None and not _is_map(field):
            for each in value if field.is_repeated else (value,):
                yield from _messages(each)


def _spoil_field(rng: random.Random, message: Any) -> None:
    fields = message.DESCRIPTOR.fields
    if not fields:
        return
    field = rng.choice(fields)
    if rng.random() < 0.2:
        message.ClearField(field.name)
    elif _is_map(field):
        for _ in range(rng.choice((1, 2, 50))):
            getattr(message, field.name)[rng.choice(TEXTS)] = rng.choice(TEXTS)
    elif field.is_repeated:
        _spoil_list(rng, getattr(message, field.name), field)
    elif field.message_type is not None:
        inner = getattr(message, field.name)
        inner.SetInParent()
        _spoil_field(rng, inner)
    else:
        setattr(message, field.name, _value(rng, field))


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _spoil_list(rng: random.Random, values: Any, field: FieldDescriptor) -> None:
    if values and rng.random() < 0.3:
        del values[rng.randrange(len(values)) :]
        return
    for _ in range(rng.choice((1, 2, 50))):
        if field.message_type is None:
            values.append(_value(rng, field))
        else:
            _spoil_field(rng, values.add())


def _value(rng: random.Random, field: FieldDescriptor) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return rng.randbytes(rng.choice((0, 1, 100, CHUNK_BYTES + 1)))
        case FieldDescriptor.CPPTYPE_STRING:
            return rng.choice(TEXTS)
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return rng.choice(REALS)
        case FieldDescriptor.CPPTYPE_BOOL:
            return rng.random() < 0.5
        case FieldDescriptor.CPPTYPE_ENUM:
            return rng.choice((0, 1, 2, 3, 4, 5, 99, -1, 2**31 - 1))
    low, high = {
        FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
        FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
        FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
        FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    }[field.cpp_type]
    return rng.choice([number for number in NUMBERS if low <= number <= high])


def spoil_file(rng: random.Random, name: str, files: Files) -> tuple[str, bytes]:
    """A file that is damaged, is another kind than its name says, or declares a size that it does not have."""
    data = files[name]
    match rng.randrange(10):
        case 0:
            return name, rng.randbytes(rng.choice((0, 1, 64, 5000)))
        case 1:
            other = rng.choice(sorted(files))
            return f"{Path(name).stem}{Path(other).suffix}", data
        case 2:
            other = files[rng.choice(sorted(files))]
            cut = rng.randrange(len(data))
            return name, data[:cut] + other[cut:]
        case 3:
            return name, _another_size(rng, data)
    return name, spoil_bytes(rng, data)


def _another_size(rng: random.Random, data: bytes) -> bytes:
    """The file with one of the numbers of its size replaced wherever it stands in the header."""
    size, head = rng.choice((WIDTH, HEIGHT, WIDTH - 1, HEIGHT - 1)), rng.choice((200, 2000))
    large = rng.choice((0, 1, 5000, 16_000, 65_535, 2**31 - 1))
    for order in ("big", "little"):
        for length in (4, 2):
            old, new = size.to_bytes(length, order), (large % 256**length).to_bytes(length, order)  # type: ignore[arg-type]
            data = data[:head].replace(old, new) + data[head:]
    return data
