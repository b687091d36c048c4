"""Clips in numbered image files, through OpenImageIO."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from mive.errors import MediaError
from mive.media.clip import Clip
from mive.media.image import Image, probe_image, read_image
from mive.media.info import ClipInfo, Pixels
from mive.media.paste import to_depth
from mive.media.pattern import Pattern, parse_pattern

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".exr", ".tif", ".tiff", ".dpx", ".bmp", ".tga"})
# fileseq takes the hyphen of "shot-0002.png" for a minus, which would turn the clip around.
_NUMBERED = re.compile(r"(?P<head>.*?)(?P<number>\d+)(?P<tail>\D*)")
_DEFAULT_RATE = Fraction(24)
_FEWEST_DIGITS = 3


@dataclass(frozen=True)
class Sequence:
    """Files of a clip in order, and the number of the first."""

    files: tuple[Path, ...]
    first_number: int = 0


def find_sequence(path: str | Path) -> Sequence | None:
    """The image files that ``path`` stands for, a folder, a file or a :mod:`pattern <mive.media.pattern>` of names;
    None where it is not about images.

    Raises:
        MediaError: nothing is there, numbers are missing, or a folder holds several sequences.
    """
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

    def __init__(self, path: Path, sequence: Sequence) -> None:
        head = probe_image(sequence.files[0])
        self.info = ClipInfo(
            path=path,
            width=head.width,
            height=head.height,
            frames=len(sequence.files),
            rate=head.rate or _DEFAULT_RATE,
            depth=head.depth,
            timecode=head.timecode,
            is_sequence=True,
            pixel_aspect=head.pixel_aspect,
            bits=head.bits,
            files=sequence.files,
            first_number=sequence.first_number,
            chromaticities=head.chromaticities,
        )

    def images(self, first: int, last: int) -> Iterator[Image]:
        """Frames ``first..last`` with all their channels."""
        for file in self.info.files[first : last + 1]:
            yield read_image(file)

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
    return _whole(path, files, wanted)


def _numbered(path: Path, folder: Path, head: str, tail: str) -> Sequence:
    return _whole(path, _files(path, folder, head, tail))


def _files(path: Path, folder: Path, head: str, tail: str) -> dict[int, Path]:
    """Files by their numbers."""
    pattern = re.compile(re.escape(head) + r"(\d+)" + re.escape(tail))
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


def _whole(path: Path, files: dict[int, Path], wanted: range | None = None) -> Sequence:
    """The wanted files, or all, of which none is missing."""
    if not files:
        raise _missing(path, "No files match this sequence")
    first, last = (wanted[0], wanted[-1]) if wanted else (min(files), max(files))
    there = sorted(number for number in files if first <= number <= last)
    if missing := last - first + 1 - len(there):
        gaps = [(a + 1, b - 1) for a, b in pairwise([first - 1, *there, last + 1]) if b - a > 1]
        shown = ", ".join(f"{a}-{b}" if a < b else f"{a}" for a, b in gaps[:8]) + (", ..." if len(gaps) > 8 else "")
        raise MediaError(
            f"{path} runs from {first} to {last} but {missing} of its frames are missing: {shown}",
            expected="a file for every number",
            fix="Render the missing frames, or pick a part that is whole, as in name.FIRST-LAST####.png",
        )
    return Sequence(tuple(files[number] for number in there), first)


def _missing(path: Path, what: str) -> MediaError:
    return MediaError(
        f"{what}: {path}",
        expected="a video file, an image, or a sequence of images",
        fix="Check the path",
        field="clip",
    )
