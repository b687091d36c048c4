"""Whether mattes look like mattes: what is there is not always what was meant."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from mive.media.info import Coverage, Pixels
from mive.media.runs import shown_numbers

_CLOSELY: Final = 24
"""Frames of a shot whose seams are looked at; all else is seen in every frame."""
_FAINT: Final = 0.05
_MANY_IDS: Final = 64
_STRETCHED: Final = (257, 255, 256, 85, 51, 17)
"""What ids are multiplied by where fewer bits or colours were spread over more."""


@dataclass
class SeenIds:
    """What the frames of ID mattes hold.

    Attributes:
        pixels: how many each id has, over all frames.
        frames: the numbers of the frames that each id is in.
    """

    pixels: Counter[int] = field(default_factory=Counter)
    frames: dict[int, list[int]] = field(default_factory=dict)
    _cores: Counter[int] = field(default_factory=Counter)
    _between: Counter[int] = field(default_factory=Counter)
    _close: Counter[int] = field(default_factory=Counter)
    _most: int = 0
    _all: list[int] = field(default_factory=list)

    def see(self, number: int, ids: Pixels, *, closely: bool) -> None:
        """Look at the ids ``[H, W]`` of a frame."""
        counts = _counts(ids)
        self._all.append(number)
        self.pixels.update(counts)
        self._most = max(self._most, len(counts))
        for identity in counts:
            self.frames.setdefault(identity, []).append(number)
        if closely and len(counts) > 1:
            values = ids.astype(np.float32)
            low, high = cv2.erode(values, np.ones((3, 3))), cv2.dilate(values, np.ones((3, 3)))
            self._close.update(counts)
            self._cores.update(_counts(ids[low == high]))
            self._between.update(_counts(ids[(low < values) & (values < high)]))

    def doubts(self, wanted: Iterable[int]) -> Iterator[str]:
        """What is odd about them, as sentences that follow the mattes' name.

        Args:
            wanted: the ids that are edited.
        """
        wanted = set(wanted)
        if self._most > _MANY_IDS:
            yield (
                f"hold up to {self._most} ids in a frame, as soft mattes do; a soft matte belongs to one instance "
                "(--matte ID=PATH)"
            )
        elif seams := self._seams(wanted):
            yield (
                f"have ids that are only seams between others ({shown_numbers(seams)}): they were smoothed or scaled, "
                "and pixels along the edges belong to nothing. Export them without antialiasing"
            )
        if factor := self.stretched():
            yield f"have ids that are all multiples of {factor}, as if fewer bits had been stretched"
        for identity in sorted(wanted & self.frames.keys()):
            if gaps := _gaps(self._all, self.frames[identity]):
                yield f"lack instance {identity} in frames {shown_numbers(gaps)}, between others that have it"

    def stretched(self) -> int:
        """What all ids were multiplied by, 0 where there is no sign of it."""
        ids = [identity for identity in self.pixels if identity]
        common = math.gcd(*ids) if ids else 0
        return next((factor for factor in _STRETCHED if common and common % factor == 0), 0)

    def _seams(self, wanted: set[int]) -> list[int]:
        """Ids that have no inside, and lie between others by value as by place."""
        thin = [identity for identity in self._close if identity not in {0, *wanted} and not self._cores[identity]]
        between, count = (sum(counter[identity] for identity in thin) for counter in (self._between, self._close))
        return sorted(thin) if len(thin) > 1 and between > 0.6 * count else []


@dataclass
class SeenCover:
    """What the frames of one instance's matte hold.

    Attributes:
        share: of the pixels that are more covered than not, over all frames.
    """

    share: float = 0
    _least: float = math.inf
    _most: float = 0
    _faint: float = 0
    _far: float = 0
    _whole: bool = True
    _all: list[int] = field(default_factory=list)
    _covered: list[int] = field(default_factory=list)

    def see(self, number: int, cover: Coverage) -> None:
        """Look at the coverage ``[H, W]`` of a frame."""
        self._all.append(number)
        most, inside = float(cover.max()), float((cover > 0.5).mean())
        self._least, self._most = min(self._least, float(cover.min())), max(self._most, most)
        self._faint += (float(((cover > 0) & (cover < _FAINT)).mean()) - self._faint) / len(self._all)
        self._far += (_specks(cover) - self._far) / len(self._all)
        self.share += (inside - self.share) / len(self._all)
        self._whole = self._whole and inside > 0.98
        if most > _FAINT:
            self._covered.append(number)

    @property
    def covered(self) -> int:
        """The frames in which it covers anything."""
        return len(self._covered)

    @property
    def empty(self) -> bool:
        """Nothing is covered anywhere."""
        return self._most == 0

    def doubts(self, *, lossy: bool = False) -> Iterator[str]:
        """What is odd about it, as sentences that follow the matte's name.

        Args:
            lossy: its file was compressed so that noise is to be expected.
        """
        if self._whole:
            yield "covers the whole frame, everywhere and always"
        elif self._least > 0:
            yield f"is never black: its darkest pixel covers {_percent(self._least)}; every pixel is edited a little"
        elif self._far > 0.02 or (lossy and self._faint > 0.005):
            yield (
                f"covers {_percent(self._faint)} of the frame by less than {_percent(_FAINT)}, as the noise of a lossy "
                "codec does; these pixels are edited a little"
            )
        if 0 < self._most < 0.98:
            yield f"is never white: it covers {_percent(self._most)} at most, so that nothing is edited fully"
        if gaps := _gaps(self._all, self._covered):
            yield f"is empty in frames {shown_numbers(gaps)}, between others that are not"


def _specks(cover: Coverage) -> float:
    """The share of pixels that are faintly covered, and not by the soft edge of something that is covered more."""
    reach = 2 * max(3, min(cover.shape) // 16) + 1
    near = cv2.dilate((cover >= _FAINT).astype(np.uint8), np.ones((reach, reach), np.uint8))
    return float(((cover > 0) & (near == 0)).mean())


def looked_at_closely(indices: Sequence[int]) -> frozenset[int]:
    """Some of a shot's frames, evenly spread, for what takes long to see."""
    step = max(1, -(-len(indices) // _CLOSELY))
    return frozenset(indices[::step])


def _counts(ids: Pixels) -> dict[int, int]:
    found, counts = np.unique(ids, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _gaps(all_frames: Sequence[int], there: Sequence[int]) -> list[int]:
    """The frames without something that lie between frames with it."""
    if not there:
        return []
    held = set(there)
    return [number for number in all_frames if there[0] < number < there[-1] and number not in held]


def _percent(share: float) -> str:
    return f"{share:.2g}" if share < 0.001 else f"{100 * share:.3g} %"
