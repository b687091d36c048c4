"""The frames of an edit that the plugin has handed over.

::

    puts.jsonl        a line for each: number, fingerprints, prints
    puts/NUMBER-KEY   the pixels, image after image, until they have been sent

The line is written when the pixels are there; the last line of a number counts.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mive.base.atomic import remove_asides, write_whole
from mive.errors import RequestError
from mive_bridge.files import size_of
from mive_bridge.images import Image, Seen
from mive_bridge.messages import Refused
from mive_bridge.names import Fingerprint, frame_key
from mive_bridge.prints import thumbprint

_BLOCK: Final = 1 << 20
"""Bytes that are copied, hashed and written while the processor still has them at hand."""


class MixedSizes(RequestError):
    """The frames that were handed over are not all of one size and type, so they have to be handed over again."""


@dataclass(frozen=True)
class Put:
    """One frame that was handed over.

    Attributes:
        key: the frame's name.
        images: by their names.
        premultiplied: the source's colours are multiplied by its alpha.
    """

    number: int
    key: str
    images: dict[str, Seen]
    premultiplied: bool

    @property
    def file(self) -> str:
        """The name of the file of its pixels."""
        return f"{self.number}-{self.key[:32]}"

    @property
    def bytes(self) -> int:
        """The size of that file."""
        return sum(seen.format.bytes for seen in self.images.values())


class Puts:
    """All of one edit. The methods block; no two of them may write at one time.

    Args:
        folder: the edit's.
        edit: its name.
    """

    def __init__(self, folder: Path, edit: str) -> None:
        self._journal = folder / "puts.jsonl"
        self._pixels = folder / "puts"
        self._edit = edit
        self._pixels.mkdir(exist_ok=True)
        remove_asides(self._pixels)
        self.by_number: dict[int, Put] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in self._journal.read_text().splitlines():
                # A line that a killed process did not finish is no line.
                with contextlib.suppress(ValueError, KeyError, Refused):
                    put = self._read(json.loads(line))
                    self.by_number[put.number] = put
        there = {path.name: size_of(path) for path in self._pixels.iterdir()}
        self.present = {put.number for put in self.by_number.values() if there.get(put.file) == put.bytes}
        """Numbers of those whose pixels are there."""

    def describe(self, number: int, images: Mapping[str, Seen], premultiplied: bool) -> Put:
        """A frame, with its name."""
        key = frame_key(self._edit, number, {name: seen.fingerprint for name, seen in images.items()})
        return Put(number, key, dict(images), premultiplied)

    def write(self, put: Put, images: Mapping[str, Image]) -> None:
        """Writes the pixels of a frame, which is not kept before it is noted.

        Args:
            images: in memory that another process can write to, so that what is checked is what is written.

        Raises:
            Refused: they are not what the frame says.
            OSError: the disk is full, or may not be written.
        """

        def parts() -> Iterator[memoryview]:
            for name, image in images.items():
                found = Fingerprint(put.images[name].format)
                step = max(_BLOCK // image[0].nbytes, 1)
                for first in range(0, len(image), step):
                    rows = image[first : first + step].copy()
                    found.add(rows)
                    yield rows.data.cast("B")
                if (str(found), thumbprint(image)) != (put.images[name].fingerprint, put.images[name].thumbprint):
                    raise Refused(f'The image "{name}" is not what its fingerprint and print say.')

        write_whole(self._pixels / put.file, parts(), durable=False)

    def note(self, put: Put) -> None:
        """Keeps a frame that was written, in place of the former of its number.

        Raises:
            OSError: the disk is full, or may not be written.
        """
        line = {
            "number": put.number,
            "premultiplied": put.premultiplied,
            "images": {name: [seen.fingerprint, seen.thumbprint] for name, seen in put.images.items()},
        }
        with self._journal.open("a") as journal:
            # The line before may have no end.
            journal.write("\n" + json.dumps(line) + "\n")
        former = self.by_number.get(put.number)
        if former is not None and former.file != put.file:
            (self._pixels / former.file).unlink(missing_ok=True)
        self.by_number[put.number] = put
        self.present.add(put.number)

    def read(self, number: int) -> dict[str, Image]:
        """The images of a frame whose pixels are there.

        Raises:
            OSError: they cannot be read.
        """
        put = self.by_number[number]
        images = {}
        with (self._pixels / put.file).open("rb") as file:
            for name, seen in put.images.items():
                images[name] = np.fromfile(file, seen.format.dtype, math.prod(seen.format.shape))
                images[name] = images[name].reshape(seen.format.shape)
        return images

    def spend(self) -> None:
        """Removes the pixels; what they were stays known."""
        self.present.clear()
        for put in list(self.by_number.values()):
            (self._pixels / put.file).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forgets all frames."""
        self._journal.unlink(missing_ok=True)
        shutil.rmtree(self._pixels, ignore_errors=True)
        self._pixels.mkdir(exist_ok=True)
        self.by_number.clear()
        self.present.clear()

    def _read(self, line: dict[str, object]) -> Put:
        number, images = line["number"], line["images"]
        if not isinstance(number, int) or not isinstance(images, dict):
            raise ValueError
        return self.describe(
            number, {name: Seen.parse(*texts) for name, texts in images.items()}, bool(line["premultiplied"])
        )
