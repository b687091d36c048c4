"""The rules that say when a frame is right: plugin_bridge/LINK.md, "When a hit is right"."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from mive.errors import MediaError, MiveError
from mive_bridge.edit import Edit
from mive_bridge.frames import FrameCache
from mive_bridge.images import Seen
from mive_bridge.messages import Message, Refused
from mive_bridge.names import IMAGES, frame_key
from mive_bridge.prints import alike, frame_shown, shows_another
from mive_bridge.threads import Threads

_FACTS_SECONDS: Final = 1.0
"""How old the facts of files may be when frames are shown."""

Verdict = Literal["right", "changed", "unknown"]


@dataclass(frozen=True)
class Asked:
    """A frame that is asked for, or handed over.

    Attributes:
        images: those that the edit is made from, as they are now.
    """

    edit: str
    number: int
    images: dict[str, Seen]

    @classmethod
    def parse(cls, message: Message) -> Self:
        """From a ``put`` or ``frame``.

        Raises:
            Refused: a field is missing or malformed.
        """
        images = {
            name: Seen.parse(message.fields[name], message.text(f"{name}_print"))
            for name in IMAGES
            if name in message.fields
        }
        return cls(message.text("edit"), message.whole("frame", 2**31 - 1), images)

    @property
    def key(self) -> str:
        """The frame's name."""
        return frame_key(self.edit, self.number, {name: seen.fingerprint for name, seen in self.images.items()})


class Judge:
    """Says whether frames are right."""

    def __init__(self, cache: FrameCache, threads: Threads) -> None:
        self._cache = cache
        self._threads = threads
        self._facts: dict[str, tuple[float, str]] = {}
        self._looks: dict[str, dict[int, str]] = {}
        self._shifts: dict[str, int] = {}

    async def verdict(self, edit: Edit, asked: Asked, look: str) -> Verdict:
        """Whether what was made for this number is right for the images that the plugin has now."""
        if edit.order.images:
            put = edit.puts.by_number.get(asked.number)
            if put is None:
                return "unknown"
            if put.key != asked.key and not alike(put.images, asked.images):
                return "changed"
        if edit.at.facts and not await self.has_same_files(edit):
            return "changed"
        if edit.order.source is not None and edit.has(asked.number):
            facts = await self._threads.run(self._cache.facts, edit.name_of(asked.number))
            if facts is not None and look and shows_another(look, facts.source):
                return "changed"
        return "right"

    async def moved(self, edit: Edit, number: int, look: str) -> str:
        """What the user should know where the host's number is not that of the file's frame that it shows."""
        if edit.order.source is None or not edit.has(number):
            return ""
        looks = self._looks.setdefault(edit.at.made, {})
        fresh = [other for other in edit.frames or () if other not in looks and edit.has(other)]
        looks |= await self._threads.run(self._sources_of, edit, fresh)
        if number not in looks:
            return ""
        shown = frame_shown(look, number, looks, self._shifts.get(edit.at.made, 0))
        self._shifts[edit.at.made] = shown - number
        if shown == number:
            return ""
        return (
            f"The host's frame {number} is frame {shown} of the file. Leave Media empty, or put the effect on the "
            "whole clip, before it is trimmed."
        )

    def _sources_of(self, edit: Edit, numbers: Iterable[int]) -> dict[int, str]:
        """Prints of the sources of edited frames, where they are known. Blocks."""
        facts = {number: self._cache.facts(edit.name_of(number)) for number in numbers}
        return {number: known.source for number, known in facts.items() if known is not None}

    async def has_same_files(self, edit: Edit, age: float = _FACTS_SECONDS) -> bool:
        """The files of an edit are those that it was made from.

        Args:
            age: seconds for which an earlier answer is good enough.
        """
        seen, facts = self._facts.get(edit.order.key, (0.0, ""))
        if time.monotonic() > seen + age:
            try:
                facts = await self._threads.run(facts_of, edit)
            except (MiveError, OSError):
                facts = ""
            self._facts[edit.order.key] = time.monotonic(), facts
        return facts == edit.at.facts


def facts_of(edit: Edit) -> str:
    """Sizes and times of the files that an edit is made from. Blocks.

    Raises:
        MediaError: one is not there.
    """
    from mive.media.sequence import find_sequence

    digest = hashlib.sha256()
    for path in filter(None, (edit.order.source, edit.order.mattes)):
        sequence = find_sequence(path, holes=True)
        for file in (Path(path),) if sequence is None else sequence.files:
            try:
                facts = file.stat()
            except OSError as error:
                raise MediaError(
                    f"{file} cannot be read: {error.strerror}", expected="a file", fix="Check the path"
                ) from error
            digest.update(os.fsencode(file.name) + f"\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def require_images(edit: Edit, asked: Asked) -> None:
    """Refuses a request with other images than those that the edit is made from.

    Raises:
        Refused: it is one.
    """
    if tuple(asked.images) != edit.order.images:
        expected = ", ".join(edit.order.images) or "no images"
        raise Refused(f"The edit is made from {expected}; the request has others.")
    if "source" in asked.images and asked.images["source"].format.components == "alpha":
        raise Refused("The source has no colour.")
