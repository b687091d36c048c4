"""Which of the pictures in a file is the beauty: multi-part and layered EXR, pages of TIFF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import OpenImageIO as oiio

from mive.errors import MediaError

_BEAUTY: Final = ("rgba", "rgb", "beauty", "c", "combined")
_SHORT: Final = {"red": "R", "green": "G", "blue": "B", "alpha": "A"}


@dataclass(frozen=True)
class Picture:
    """A picture in a file.

    Attributes:
        part: place of its part in the file, from 0.
        name: what it is called, such as "diffuse" or "ViewLayer.Combined"; "" where nothing names it.
        colour: places of R, G and B, or of the one grey channel, among the part's channels.
        alpha: place of its alpha there.
    """

    part: int
    name: str
    colour: tuple[int, ...]
    alpha: int | None = None

    @property
    def _last(self) -> str:
        return self.name.rpartition(".")[2].casefold()

    def named(self, asked: str) -> bool:
        """Whether it is called so, whatever the case; a layer's last word is enough."""
        return asked.casefold() in (self.name.casefold(), self._last)

    def is_beauty(self) -> bool:
        """Whether its name tells that it is the picture."""
        return self._last in ("", *_BEAUTY)


def pictures_in(specs: Sequence[oiio.ImageSpec]) -> list[Picture]:
    """All pictures in a file, by the headers of its parts."""
    found = []
    for part, spec in enumerate(specs):
        if spec.deep:
            continue
        layers: dict[str, dict[str, int]] = {}
        for place, channel in enumerate(spec.channelnames):
            layer, _, kind = channel.rpartition(".")
            layers.setdefault(layer, {}).setdefault(_SHORT.get(kind.lower(), kind.upper()), place)
        outer = part_name(spec, part, len(specs))
        for layer, kinds in layers.items():
            colour = ("R", "G", "B") if {"R", "G", "B"} <= kinds.keys() else ("Y",)
            if set(colour) <= kinds.keys():
                name = layer if layer.startswith(outer) else ".".join(filter(None, (outer, layer)))
                found.append(Picture(part, name, tuple(kinds[kind] for kind in colour), kinds.get("A")))
    return found


def part_name(spec: oiio.ImageSpec, part: int, count: int) -> str:
    """What a part is called; the only one has no need of a name, and pages have numbers."""
    if count == 1:
        return ""
    return str(spec.get_string_attribute("oiio:subimagename") or spec.get_string_attribute("name") or part + 1)


def choose_picture(path: object, specs: Sequence[oiio.ImageSpec], asked: str | None = None) -> Picture:
    """The picture that was asked for, or else the beauty.

    Raises:
        MediaError: it is not there, or nothing tells which of several it is.
    """
    found = pictures_in(specs)
    if asked is not None:
        fitting = [each for each in found if each.named(asked)]
        fitting = [each for each in fitting if each.name.casefold() == asked.casefold()] or fitting
        if len(fitting) != 1:
            what = f'{path} has no part or layer "{asked}"' if not fitting else f'several layers end with "{asked}"'
            raise _unclear(what, specs, found)
        return fitting[0]
    unnamed = [each for each in found if not each.name]
    beauty = unnamed or [each for each in found if each.is_beauty()]
    if len(beauty) == 1:
        return beauty[0]
    channels = sum(len(spec.channelnames) for spec in specs)
    if not beauty and len(found) == 1 and channels <= len(found[0].colour) + (found[0].alpha is not None):
        return found[0]
    if found and _are_pages(specs):
        return found[0]
    several = f"{path} holds {len(found)} pictures, and their names do not tell which one is the beauty"
    raise _unclear(several if found else f"{path} has no picture to read", specs, found)


def _listed(spec: oiio.ImageSpec, name: str) -> str:
    channels = ", ".join(spec.channelnames[:12])
    return f"{name}: {channels}" if name else channels


def _are_pages(specs: Sequence[oiio.ImageSpec]) -> bool:
    return len(specs) > 1 and all(not spec.get_string_attribute("oiio:subimagename") for spec in specs)


def _unclear(what: str, specs: Sequence[oiio.ImageSpec], found: Sequence[Picture]) -> MediaError:
    there = "; ".join(_listed(spec, part_name(spec, part, len(specs))) for part, spec in enumerate(specs[:12]))
    names = ", ".join(each.name or "R, G, B" for each in found[:12])
    return MediaError(
        f"{what} (its channels: {there})",
        expected="channels R, G and B, or one grey channel Y, without a name or called rgba, beauty, C or Combined",
        fix=f"Pick one by --layer: {names}" if found else "Render the beauty pass into R, G, B",
        field="layer" if found else "clip",
    )
