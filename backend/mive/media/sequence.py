"""Clips in numbered image files, through OpenImageIO."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mive.base.samples import white
from mive.errors import MediaError
from mive.media.asked import Reading
from mive.media.clip import Clip
from mive.media.image import Image, ImageHead, probe_image, probe_matte, read_image
from mive.media.info import ClipInfo, Pixels
from mive.media.paste import to_depth
from mive.media.pattern import Pattern, parse_pattern
from mive.media.runs import shown_runs

if TYPE_CHECKING:
    from mive.request import FrameRange

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".exr", ".tif", ".tiff", ".dpx", ".bmp", ".tga"})
# fileseq takes the hyphen of "shot-0002.png" for a minus, which would turn the clip around. A minus stands at the
# beginning, or behind what sets the number apart: "shot.-0002.png".
_NUMBER = r"(?:(?<![^._ ])-)?\d+"
_NUMBERED = re.compile(rf"(?P<head>.*?)(?P<number>{_NUMBER})(?P<tail>\D*)")
_DEFAULT_RATE = Fraction(24)
_FEWEST_DIGITS = 3


@dataclass(frozen=True)
class Sequence:
    """Files of a clip in order, and the number of each; none where a single file's name has no number."""

    files: tuple[Path, ...]
    numbers: tuple[int, ...] = ()


def find_sequence(path: str | Path, *, holes: bool = False) -> Sequence | None:
    """The image files that ``path`` stands for, a folder, a file or a `pattern <mive.media.pattern>` of names; None
    where it is not about images.

    Args:
        holes: numbers may be missing.

    Raises:
        MediaError: nothing is there, numbers are missing, or a folder holds several sequences.
    """
    found = _find(path)
    if found is not None and not holes:
        _require_whole(Path(path), found)
    return found


def _find(path: str | Path) -> Sequence | None:
    path = Path(path)
    if path.is_dir():
        return _in_folder(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return None
    pattern = parse_pattern(path.name)
    if pattern and not path.exists():
        return _matching(path, pattern)
    if not path.is_file():
        raise _missing(path, "There is no such file")
    match = _NUMBERED.fullmatch(path.stem)
    if match is None or len(match["number"]) < _FEWEST_DIGITS:
        return Sequence((path,))
    return _numbered(path, path.parent, match["head"], match["tail"] + path.suffix)


class SequenceClip(Clip):
    """Image files as a clip; the first one sets the size and the depth."""

    def __init__(self, path: Path, sequence: Sequence, reading: Reading) -> None:
        super().__init__()
        head = probe_matte(sequence.files[0]) if reading.matte else probe_image(sequence.files[0], reading.layer)
        rate = reading.rate or head.rate
        self.reading = reading
        self.info = ClipInfo(
            path=path,
            width=head.width,
            height=head.height,
            frames=len(sequence.files),
            rate=rate or _DEFAULT_RATE,
            rate_guessed=rate is None,
            depth=head.depth,
            timecode=head.timecode,
            is_sequence=True,
            pixel_aspect=head.pixel_aspect,
            bits=head.bits,
            files=sequence.files,
            first_number=sequence.numbers[0] if sequence.numbers else 0,
            numbers=sequence.numbers or None,
            chromaticities=head.chromaticities,
            extras=head.extras,
        )
        self.as_stored = head.as_stored
        if not reading.matte:
            self._tell_of_pages(head)

    def images(self, first: int, last: int) -> Iterator[Image]:
        """Frames ``first..last`` of a clip, each with its alpha."""
        for file in self.info.files[first : last + 1]:
            image = read_image(file, self.reading.layer)
            if image.problem:
                self.reading.warnings.tell(f"{file} is damaged: {image.problem}")
            yield image

    def alpha(self, frames: FrameRange) -> Iterator[Pixels]:
        """See `Clip.alpha`."""
        for image in self.images(frames.first, frames.last):
            alpha = image.alpha()
            yield np.full_like(image.pixels[..., 0], white(image.pixels.dtype)) if alpha is None else alpha

    def _decode(self, first: int, last: int) -> Iterator[Pixels]:
        for index, image in enumerate(self.images(first, last), first):
            rgb = image.rgb()
            if rgb.dtype != to_depth(rgb[:0], self.info.depth).dtype:
                raise MediaError(
                    f"{self.info.files[index]} holds {rgb.dtype} samples",
                    expected=f"the depth of the first frame ({self.info.depth})",
                    fix="Render all frames of the sequence at one depth",
                )
            yield rgb

    def _tell_of_pages(self, head: ImageHead) -> None:
        assert head.chosen is not None
        others = len(head.specs) - 1
        if others and self.reading.layer is None and head.chosen.name.isdecimal():
            self.reading.warnings.tell(
                f"{self.info.path} holds {others} pages besides the first, which is edited",
                fix="Pick another one by --layer 2",
            )


def _in_folder(folder: Path) -> Sequence:
    groups: dict[tuple[str, str], int] = defaultdict(int)
    images = [
        file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    ]
    for file in images:
        match = _NUMBERED.fullmatch(file.stem)
        key = (match["head"], match["tail"] + file.suffix) if match else (file.name, "")
        groups[key] += 1
    if not groups:
        raise _missing(folder, "There are no images in this folder")
    if len(groups) > 1:
        names = ", ".join(sorted(f"{head}#{tail}" if tail else head for head, tail in groups)[:4])
        raise MediaError(
            f"{folder} holds {len(groups)} sequences ({names}, ...)",
            expected="one sequence in a folder",
            fix="Name the one you mean by a pattern, e.g. FOLDER/name.####.png",
        )
    ((head, tail),) = groups
    return _numbered(folder, folder, head, tail) if tail else Sequence((images[0],))


def _matching(path: Path, pattern: Pattern) -> Sequence:
    files, wanted = _files(path, path.parent, pattern.head, pattern.tail), None
    # Where there are files whose very names have it, it is no range.
    if not files and (ranged := pattern.ranged()):
        head, wanted = ranged
        files = _files(path, path.parent, head, pattern.tail)
    return _chosen(path, files, wanted)


def _numbered(path: Path, folder: Path, head: str, tail: str) -> Sequence:
    return _chosen(path, _files(path, folder, head, tail))


def _files(path: Path, folder: Path, head: str, tail: str) -> dict[int, Path]:
    """Files by their numbers."""
    pattern = re.compile(re.escape(head) + f"({_NUMBER})" + re.escape(tail))
    numbers: dict[int, Path] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = pattern.fullmatch(file.name)
        if match is None:
            continue
        number = int(match[1])
        if number in numbers:
            raise MediaError(
                f"{path} has two frames {number}: {numbers[number].name} and {file.name}",
                expected="one file for each number",
                fix="Remove or rename one of them",
            )
        numbers[number] = file
    return numbers


def _chosen(path: Path, files: dict[int, Path], wanted: range | None = None) -> Sequence:
    """The wanted files, or all."""
    there = sorted(number for number in files if wanted is None or number in wanted)
    if not there:
        raise _missing(path, "No files match this sequence")
    if wanted is not None and (wanted[0] != there[0] or wanted[-1] != there[-1]):
        raise _with_gaps(path, there, wanted[0], wanted[-1])
    return Sequence(tuple(files[number] for number in there), tuple(there))


def _require_whole(path: Path, sequence: Sequence) -> None:
    numbers = sequence.numbers
    if numbers and numbers[-1] - numbers[0] + 1 != len(numbers):
        raise _with_gaps(path, numbers, numbers[0], numbers[-1])


def _with_gaps(path: Path, there: Iterable[int], first: int, last: int) -> MediaError:
    gaps = [(a + 1, b - 1) for a, b in pairwise([first - 1, *there, last + 1]) if b - a > 1]
    missing = sum(b - a + 1 for a, b in gaps)
    return MediaError(
        f"{path} runs from {first} to {last} but {missing} of its frames are missing: {shown_runs(gaps)}",
        expected="a file for every number",
        fix="Render the missing frames, or pick a part that is whole, as in name.FIRST-LAST####.png",
    )


def _missing(path: Path, what: str) -> MediaError:
    return MediaError(
        f"{what}: {path}",
        expected="a video file, an image, or a sequence of images",
        fix="Check the path",
        field="clip",
    )
