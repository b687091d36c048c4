"""Patterns that stand for the files of an image sequence, in the spellings that fileseq knows.

Digits are ``####``, ``@@@@``, ``%04d`` or ``$F4``; a range before them, as in ``shot.1001-1050####.exr``, picks frames.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fileseq.constants import PAD_STYLE_HASH1
from fileseq.exceptions import FileSeqException
from fileseq.filesequence import FileSequence
from fileseq.frameset import FrameSet

from mive.errors import MediaError

# fileseq by itself would take "take5####.png" for frame 5 of "take", and finds nothing in "me@work.####.png". So what
# stands for digits is found here, and fileseq says what it means.
_DIGITS = re.compile(r"#+|%0?\d*d")
_DIGITS_BEFORE_A_DOT = re.compile(r"(?:@+|\$F\d*)(?=\.)")
_RANGE = re.compile(r"\d+(?:[-,:xy]\d+)+\Z")


@dataclass(frozen=True)
class Pattern:
    """What stands before and after the number of a frame.

    Attributes:
        width: the fewest digits that a number is written with; it is read with any.
    """

    head: str
    width: int
    tail: str

    def name(self, number: int) -> str:
        """The name of a frame's file."""
        return f"{self.head}{number:0{self.width}}{self.tail}"

    def ranged(self) -> tuple[str, range] | None:
        """The head without the range at its end, and the numbers which that picks; None where there is no range.

        Raises:
            MediaError: the range leaves out frames, or runs backwards.
        """
        found = _RANGE.search(self.head)
        if found is None:
            return None
        try:
            frames = FrameSet(found[0])
        except FileSeqException:
            return None
        first, last = int(frames.start()), int(frames.end())
        if not frames.isConsecutive() or last < first:
            raise MediaError(
                f'the frames "{found[0]}" do not follow each other',
                expected="the first and the last number, such as 1001-1050",
                fix="Write FIRST-LAST, or leave it out for all frames",
                field="clip",
            )
        return self.head[: found.start()], range(first, last + 1)


def parse_pattern(name: str) -> Pattern | None:
    """The pattern that a file's name is; None where it is just a name."""
    found = [*_DIGITS.finditer(name)] or [*_DIGITS_BEFORE_A_DOT.finditer(name)]
    if not found:
        return None
    # In "take#3.####.png" the first is part of the name.
    digits = next((each for each in reversed(found) if name[each.end() :].startswith(".")), found[0])
    width = FileSequence.getPaddingNum(digits[0], pad_style=PAD_STYLE_HASH1)
    return Pattern(name[: digits.start()], width, name[digits.end() :])
