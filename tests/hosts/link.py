"""The link of plugin_bridge/LINK.md as its words say it, written apart from the plugin: names, prints, messages."""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
"""``[H, W, 4]`` RGBA, ``[H, W, 3]`` RGB or ``[H, W]`` alpha, top row first."""

PAGE = 4096
EDIT_FIELDS = ("captions", "source", "mattes", "frames", "preset", "seed", "strength")
DEPTHS = {"byte": np.dtype(np.uint8), "short": np.dtype(np.uint16), "float": np.dtype(np.float32)}
COMPONENTS = {"rgba": 4, "rgb": 3, "alpha": 1}

_ESCAPES = {"%": "%25", "\n": "%0A", "\r": "%0D"}
_PRIMES = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
_MASK = 2**64 - 1


@dataclass
class Message:
    """A type and its fields."""

    type: str
    fields: dict[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        lines = [self.type, *(f"{name} {escape(value)}" for name, value in self.fields.items())]
        text = "".join(line + "\n" for line in lines).encode()
        return struct.pack("<I", len(text)) + text


def decode(text: bytes) -> Message:
    head, *lines = text.decode().removesuffix("\n").split("\n")
    fields = dict(line.split(" ", 1) for line in lines)
    assert len(fields) == len(lines), "a name comes twice"
    return Message(head, {name: unescape(value) for name, value in fields.items()})


def escape(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)


def unescape(text: str) -> str:
    for character, code in reversed(_ESCAPES.items()):
        text = text.replace(code, character)
    return text


def read_message(connection: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and the descriptors that came with it; None at the end of the connection."""
    head, descriptors, _, _ = socket.recv_fds(connection, 4, 1)
    if not head:
        return None
    head += _exactly(connection, 4 - len(head))
    return decode(_exactly(connection, struct.unpack("<I", head)[0])), descriptors


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def edit_key(fields: dict[str, str]) -> str:
    return _named("mive-edit 2", ((name, fields[name]) for name in EDIT_FIELDS))


def frame_key(edit: str, number: int, contents: dict[str, str]) -> str:
    images = ((name, contents.get(name, "-")) for name in ("source", "mattes", "mattes2"))
    return _named("mive-frame 1", [("edit", edit), ("frame", str(number)), *images])


def _named(head: str, fields: Iterable[tuple[str, str]]) -> str:
    lines = [head, *(f"{name} {escape(value)}" for name, value in fields)]
    return hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()


def format_text(frame: Pixels) -> str:
    """``64x48:rgba:byte``."""
    channels = 1 if frame.ndim == 2 else frame.shape[2]
    components = next(name for name, count in COMPONENTS.items() if count == channels)
    depth = next(name for name, dtype in DEPTHS.items() if dtype == frame.dtype)
    return f"{frame.shape[1]}x{frame.shape[0]}:{components}:{depth}"


def parse_format(text: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Shape and dtype of ``64x48:rgba:byte``, whatever follows."""
    size, components, depth = text.split(":")[:3]
    width, height = map(int, size.split("x"))
    channels = COMPONENTS[components]
    return (height, width) if channels == 1 else (height, width, channels), DEPTHS[depth]


def fingerprint(frame: Pixels) -> str:
    rows = b"".join(struct.pack("<Q", xxh64(np.ascontiguousarray(row).tobytes())) for row in frame)
    return f"{format_text(frame)}:{xxh64(rows):016x}"


def thumbprint(frame: Pixels) -> str:
    """The print."""
    height, width = frame.shape[:2]
    points = np.arange(256)
    rows, columns = ((2 * points + 1) * length // 512 for length in (height, width))
    samples = _eight_bits(frame[rows][:, columns]).reshape(8, 32, 8, 32, -1)
    means = (samples.sum(axis=(1, 3), dtype=np.int64) + 512) // 1024
    return means.astype(np.uint8).tobytes().hex()


def _eight_bits(samples: Pixels) -> NDArray[np.int64]:
    if samples.dtype == np.uint8:
        return samples.astype(np.int64)
    if samples.dtype == np.uint16:
        return (samples.astype(np.int64) + 128) // 257
    shares = np.where(samples > 0, np.minimum(samples, np.float32(1)), np.float32(0))
    return np.floor(shares * np.float32(255) + np.float32(0.5)).astype(np.int64)


def xxh64(data: bytes) -> int:
    """XXH64 with seed 0."""
    p1, p2, p3, p4, p5 = _PRIMES
    at = 0
    if len(data) >= 32:
        lanes = [(p1 + p2) & _MASK, p2, 0, -p1 & _MASK]
        while len(data) - at >= 32:
            words = struct.unpack_from("<4Q", data, at)
            lanes = [_lane(lane, word) for lane, word in zip(lanes, words, strict=True)]
            at += 32
        total = sum(_rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & _MASK
        for lane in lanes:
            total = ((total ^ _lane(0, lane)) * p1 + p4) & _MASK
    else:
        total = p5
    total = (total + len(data)) & _MASK
    while len(data) - at >= 8:
        total = (_rotate(total ^ _lane(0, struct.unpack_from("<Q", data, at)[0]), 27) * p1 + p4) & _MASK
        at += 8
    if len(data) - at >= 4:
        total = (_rotate(total ^ (struct.unpack_from("<I", data, at)[0] * p1 & _MASK), 23) * p2 + p3) & _MASK
        at += 4
    for byte in data[at:]:
        total = _rotate(total ^ (byte * p5 & _MASK), 11) * p1 & _MASK
    total = (total ^ total >> 33) * p2 & _MASK
    total = (total ^ total >> 29) * p3 & _MASK
    return total ^ total >> 32


def _lane(total: int, word: int) -> int:
    return _rotate((total + word * _PRIMES[1]) & _MASK, 31) * _PRIMES[0] & _MASK


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK
