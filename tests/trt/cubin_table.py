"""What machine code itself says about its parameters."""

from __future__ import annotations

import struct
from typing import NamedTuple

_HALF, _SIZED = 3, 4
"""How a record of .nv.info.KERNEL goes on: with two bytes in its head, or with bytes after it; others have neither."""

_PARAMETER, _ALL = 0x17, 0x19
"""Records that tell of one parameter, and how many bytes all take (EIATTR_KPARAM_INFO, EIATTR_CBANK_PARAM_SIZE)."""


class Place(NamedTuple):
    """Bytes of a parameter among all parameters."""

    offset: int
    size: int


class Table(NamedTuple):
    """A kernel's parameters in order, and the bytes that all take."""

    places: list[Place]
    size: int


def parameter_table(cubin: bytes, kernel: str) -> Table:
    """Read it from the ELF file's section for the kernel."""
    content = _sections(cubin)[f".nv.info.{kernel}"]
    places: dict[int, Place] = {}
    size = position = 0
    while position < len(content):
        form, name, number = struct.unpack_from("<BBH", content, position)
        position += 4
        if form == _SIZED:
            if name == _PARAMETER:
                _, ordinal, offset, bits = struct.unpack_from("<IHHI", content, position)
                places[ordinal] = Place(offset, bits >> 18)
            position += number
        elif name == _ALL and form == _HALF:
            size = number
    return Table([places[ordinal] for ordinal in sorted(places)], size)


def _sections(elf: bytes) -> dict[str, bytes]:
    start, count, names = *struct.unpack_from("<Q", elf, 40), *struct.unpack_from("<HH", elf, 60)
    heads = [struct.unpack_from("<IIQQQQ", elf, start + 64 * index) for index in range(count)]
    text = elf[heads[names][4] :]
    return {text[head[0] : text.index(b"\0", head[0])].decode(): elf[head[4] : head[4] + head[5]] for head in heads}
