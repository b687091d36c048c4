"""Orders: what an edit is, as the plugin says it, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from mive.settings import PRESETS
from mive_bridge.messages import Message, Refused, whole
from mive_bridge.names import EDIT_FIELDS, edit_key

MOST_FRAMES: Final = 100_000
"""Frames of one edit, as many as a server takes."""

_ORDER_FIELDS: Final = frozenset({"id", "edit", *EDIT_FIELDS, "server", "token", "again"})
_CAPTION: Final = re.compile(r"([1-9][0-9]{0,4}): (\S|\S.*\S)")


@dataclass(frozen=True)
class Caption:
    """What one instance should become."""

    id: int
    text: str


@dataclass(frozen=True)
class Order:
    """One edit.

    Attributes:
        key: its name.
        fields: as the plugin wrote them.
        captions: in the order in which the instances lie on each other.
        source: path of the file that is edited; None for the frames that the plugin hands over.
        mattes: path of the matte file; None for clips, or the source's alpha.
        images: names of the images that make up a frame that is handed over; none where files are all there is.
        frames: numbers of the frames; None for all of the file.
        guidance_factor: None leaves it open.
    """

    key: str
    fields: dict[str, str]
    captions: tuple[Caption, ...]
    source: str | None
    mattes: str | None
    images: tuple[str, ...]
    frames: range | None
    preset: str
    seed: int
    guidance_factor: float | None

    @classmethod
    def parse(cls, fields: Mapping[str, str]) -> Self:
        """Reads the fields of an edit.

        Raises:
            Refused: one is missing or malformed.
        """
        message = Message("order", dict(fields))
        given = {name: message.text(name) for name in EDIT_FIELDS}
        source = _path(given["source"], "source", "clip")
        mattes = _path(given["mattes"], "mattes", "clip", "clips", "alpha")
        clips = {"clip": ("mattes",), "clips": ("mattes", "mattes2")}.get(given["mattes"], ())
        frames = _frames(given["frames"])
        if frames is None and source is None:
            raise Refused('The field "frames" names no frames of the clip.')
        if given["preset"] not in PRESETS:
            raise Refused('The field "preset" names no preset.')
        strength = given["strength"]
        if not re.fullmatch(r"(0|[1-9][0-9]?)\.[0-9]{3}|100\.000", strength):
            raise Refused('The field "strength" is no number from 0.000 to 100.000.')
        return cls(
            key=edit_key(given),
            fields=given,
            captions=_captions(given["captions"]),
            source=source,
            mattes=mattes,
            images=(*(() if source else ("source",)), *clips),
            frames=frames,
            preset=given["preset"],
            seed=whole(given["seed"], "seed", 2**31 - 1),
            # Servers that do not know the factor yet then refuse only edits that need it.
            guidance_factor=None if strength == "1.000" else float(strength),
        )

    @classmethod
    def from_message(cls, message: Message) -> Self:
        """Reads an ``order``.

        Raises:
            Refused: a field is missing, malformed or unknown, or the edit has another name.
        """
        if unknown := sorted(set(message.fields) - _ORDER_FIELDS):
            raise Refused(f'The bridge does not know the setting "{unknown[0]}". Update the bridge.')
        order = cls.parse(message.fields)
        if message.text("edit") != order.key:
            raise Refused("The edit's name is wrong. Update the plugin or the bridge.")
        return order

    @property
    def from_alpha(self) -> bool:
        """The source's alpha is the matte."""
        return self.fields["mattes"] == "alpha"


def _path(value: str, name: str, *words: str) -> str | None:
    if value in words:
        return None
    if not value.startswith("file ") or not value[5:].strip():
        raise Refused(f'The field "{name}" is malformed.')
    return value[5:]


def _frames(value: str) -> range | None:
    if value == "all":
        return None
    first, dash, last = value.partition("-")
    frames = range(whole(first, "frames", 2**31 - 1), whole(last, "frames", 2**31 - 1) + 1)
    if not dash or not 1 <= len(frames) <= MOST_FRAMES:
        raise Refused(f'The field "frames" is no range of 1 to {MOST_FRAMES} frames.')
    return frames


def _captions(value: str) -> tuple[Caption, ...]:
    captions: dict[int, Caption] = {}
    for line in value.split("\n"):
        found = _CAPTION.fullmatch(line)
        if found is None or int(found[1]) > 65535 or int(found[1]) in captions:
            raise Refused('The field "captions" is malformed.')
        captions[int(found[1])] = Caption(int(found[1]), found[2])
    return tuple(captions.values())
