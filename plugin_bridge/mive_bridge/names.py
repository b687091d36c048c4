"""The names that the plugin and the bridge compute each for itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import xxhash

from mive_bridge.images import Format, Image, format_of
from mive_bridge.messages import escaped

EDIT_FIELDS: Final = ("captions", "source", "mattes", "frames", "preset", "seed", "strength")
"""What an edit is made of; all that changes its pixels."""

IMAGES: Final[tuple[str, ...]] = ("source", "mattes", "mattes2")
"""Names of images, in the order in which they lie in a region."""


def edit_key(fields: Mapping[str, str]) -> str:
    """The name of an edit with these fields, all of :data:`EDIT_FIELDS`."""
    return hashed("mive-edit 2", ((name, fields[name]) for name in EDIT_FIELDS))


def frame_key(edit: str, number: int, fingerprints: Mapping[str, str]) -> str:
    """The name of a frame, from the fingerprints of the images that its edit is made from."""
    images = ((name, fingerprints.get(name, "-")) for name in IMAGES)
    return hashed("mive-frame 1", (("edit", edit), ("frame", str(number)), *images))


def hashed(head: str, fields: Iterable[tuple[str, str]]) -> str:
    """SHA-256 (hex) of lines written as in messages."""
    lines = [head, *(f"{name} {escaped(value)}" for name, value in fields)]
    return hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()


class Fingerprint:
    """What an image of a format holds, from its rows as they come; depends on no padding."""

    def __init__(self, form: Format) -> None:
        self._format = form
        self._rows: list[int] = []

    def add(self, rows: Image) -> None:
        """Some more rows, without padding."""
        self._rows += [xxhash.xxh64_intdigest(row.data) for row in rows]

    def __str__(self) -> str:
        return f"{self._format}:{xxhash.xxh64_hexdigest(np.array(self._rows, '<u8').tobytes())}"


def fingerprint(image: Image) -> str:
    """What an image holds."""
    found = Fingerprint(format_of(image))
    found.add(np.ascontiguousarray(image))
    return str(found)
