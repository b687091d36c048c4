"""Which frame of a matte belongs to which frame of a clip: by their numbers, wherever both have numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mive.errors import MatteError
from mive.media import timecode
from mive.media.info import ClipInfo
from mive.media.runs import shown_numbers
from mive.media.told import Warnings
from mive.settings import MatteFit

if TYPE_CHECKING:
    from mive.request import FrameRange

Places = Callable[[int], int]
"""From the index of a frame in the clip to its place among the frames of a matte, both from 0."""


def match(
    matte: ClipInfo, clip: ClipInfo, frames: FrameRange, fit: MatteFit, warnings: Warnings, field: str = "mattes"
) -> Places:
    """Find every frame's matte.

    Numbered files belong to the frames of the same number; files numbered from 0 or 1 may also count the frames of a
    clip or range that is numbered otherwise, which is told. Videos, and raw frames, have no numbers: they hold a frame
    for every frame of the clip, or of the range. With ``"order"`` numbers mean nothing. With ``"fit"`` a frame that
    has no matte takes the one before it, or the first.

    Args:
        field: of the request, that names the matte.

    Raises:
        MatteError: a frame has no matte.
    """
    asked = _Asked(matte, clip, frames, warnings)
    places = None if fit == "order" else asked.by_number()
    places = places or asked.by_order(told=fit != "order")
    if places is None and fit == "fit":
        places = asked.nearest()
    if places is None:
        raise asked.refusal(field)
    return places


@dataclass(frozen=True)
class _Asked:
    matte: ClipInfo
    clip: ClipInfo
    frames: FrameRange
    warnings: Warnings

    @property
    def _wanted(self) -> list[int]:
        return [self.clip.number_of(index) for index in self.frames.indices()]

    @property
    def _by_number(self) -> Mapping[int, int]:
        return {number: place for place, number in enumerate(self.matte.numbers or ())}

    @property
    def _numbered(self) -> bool:
        """Both have numbers that can be compared: a video's frames count from 0."""
        numbers, count = self.matte.numbers, self.clip.frames
        if numbers is None or self.clip.numbers is not None:
            return numbers is not None
        return self.matte.frames not in (count, len(self.frames)) and numbers[0] >= 0 and numbers[-1] < count

    def by_number(self) -> Places | None:
        if self._numbered and set(self._wanted) <= (places := self._by_number).keys():
            return lambda index: places[self.clip.number_of(index)]
        lost = self.clip.numbers
        if self.matte.numbers is None and lost and not self.clip.is_sequence and self.matte.frames > lost[-1]:
            # The matte has a frame for each of a video's, those that are lost included.
            return self.clip.number_of
        return None

    def by_order(self, *, told: bool) -> Places | None:
        first = 0
        if self.matte.frames != self.clip.frames:
            if self.matte.frames != len(self.frames):
                return None
            first = self.frames.first
        if told and not self._counted(first):
            return None
        return lambda index: index - first

    def _counted(self, first: int) -> bool:
        """Whether the frames of the matte may count those of the clip from ``first`` on; doubts are told."""
        mine, theirs = self.matte.numbers, self.clip.numbers
        if mine is None:
            self._compare_timecodes(first)
            return True
        if mine[-1] - mine[0] + 1 != len(mine):
            return False
        if theirs is None:
            # From 0, 1 or 1001 a video is numbered by whoever wrote its frames to files.
            if first and mine[0] - first not in (0, 1, 1001):
                self._tell(f"the frames {self.frames} of the clip")
            return True
        if mine[0] not in (0, 1) or set(mine) & set(theirs):
            return False
        self._tell(f"the frames {theirs[first]}-{theirs[first + len(mine) - 1]} of the clip")
        return True

    def _tell(self, clip: str) -> None:
        assert self.matte.numbers is not None
        self.warnings.tell(
            f"The mattes {self.matte.path} have other numbers, {shown_numbers(self.matte.numbers)}, than {clip}; "
            "they were taken in their order",
            error=MatteError,
        )

    def _compare_timecodes(self, first: int) -> None:
        mine, theirs = (_start(info) for info in (self.matte, self.clip))
        if mine is None or theirs is None or self.matte.rate != self.clip.rate:
            return
        # Many exports start anew at 00:00:00:00 or 01:00:00:00; only one inside the clip says something else.
        if 0 <= mine - theirs < self.clip.frames and mine - theirs != first:
            self.warnings.tell(
                f"The timecode of the matte {self.matte.path}, {self.matte.timecode}, is that of the clip's frame "
                f"{mine - theirs}, and the matte was taken from frame {first} on",
                error=MatteError,
            )

    def nearest(self) -> Places:
        numbers = self.matte.numbers
        if numbers is None or not set(numbers) & set(self._wanted):
            return lambda index: min(index, self.matte.frames - 1)
        return lambda index: max(bisect_right(numbers, self.clip.number_of(index)) - 1, 0)

    def refusal(self, field: str) -> MatteError:
        path, numbers = self.matte.path, self.matte.numbers
        if numbers is None or not self._numbered:
            return self._of_another_length(field)
        lacking = sorted(set(self._wanted) - set(numbers))
        return MatteError(
            f"The mattes {path} are numbered {shown_numbers(numbers)}, and the frames {shown_numbers(lacking)} of the "
            "clip have none",
            expected="a matte with the number of each frame that is edited",
            fix="Export the missing mattes, renumber them, or edit fewer frames (--frames); --matte-fit order takes "
            "them in the clip's order, and --matte-fit fit holds the one before a frame that has none",
            field=field,
        )

    def _of_another_length(self, field: str) -> MatteError:
        count = len(self.frames)
        asked = f" (frames {self.frames}: {count})" if count != self.clip.frames else ""
        return MatteError(
            f"The matte {self.matte.path} has {self.matte.frames} frames, the clip {self.clip.frames}{asked}",
            expected="one matte frame for every frame of the clip, or of the range that is edited",
            fix="Export the matte over the same frames, or use --matte-fit fit to hold its last frame and drop frames "
            "beyond the clip",
            field=field,
        )


def _start(info: ClipInfo) -> int | None:
    return None if info.timecode is None else timecode.frame(info.timecode, info.rate)
