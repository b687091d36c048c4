"""Other tools' outputs: a folder of frames or a video for each clip, checked or fitted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from mive.base.progress import Report
from mive.errors import MediaError, RequestError
from mive.evaluate.bench.makers import Made
from mive.evaluate.bench.suite import SuiteClip
from mive.media import ClipInfo, Pixels, open_clip, open_writer
from mive.media.image import read_image
from mive.media.sequence import IMAGE_SUFFIXES
from mive.request import FrameRange

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*")
_NUMBER: Final = re.compile(r"(\d+)\D*$")


class Foreign:
    """A tool's outputs, named as the suite's clips: ``0007/`` with images, or ``0007.mp4``.

    Fitting is asked for, never silent: sizes are scaled, missing frames held and extra ones dropped, and an entry
    that has the clip's name within its own is taken. What was done is told in each result.

    Args:
        name: what the tool is called in tables.
        folder: its outputs.
        fit: whether outputs that do not fit are fitted; else they are errors.

    Raises:
        RequestError: the name cannot be used, or there is no such folder.
    """

    def __init__(self, name: str, folder: Path, fit: bool = False) -> None:
        if not _NAME.fullmatch(name):
            raise RequestError(
                f'"{name}" cannot name a folder of results',
                expected="letters, digits, dots, dashes and underscores",
                fix="Write --foreign NAME=FOLDER with another name",
                field="foreign",
            )
        if not folder.is_dir():
            raise RequestError(
                f"there is no folder {folder}",
                expected=f"the outputs of {name}: a folder of frames or a video for each clip",
                fix="Check the path",
                field="foreign",
            )
        self.name = name
        self._folder = folder
        self._fit = fit

    @property
    def made_by(self) -> dict[str, Any]:
        return {"foreign": str(self._folder.absolute()), "fit": self._fit}

    def check(self, clips: Sequence[SuiteClip]) -> None:
        """Refuse a folder that has an output for none of the clips: that is a matter of names.

        Raises:
            RequestError: it has none.
        """
        if any(self._entries(clip) for clip in clips):
            return
        there = ", ".join(entry.name for entry in self._visible()[:4]) or "nothing"
        raise RequestError(
            f"{self._folder} has an output for none of the clips; it holds {there}",
            expected=f"folders or videos named as the clips: {', '.join(clip.name for clip in clips[:4])}",
            fix="Rename them, or add --fit where the clips' names are part of theirs",
            field="foreign",
        )

    def make(self, clip: SuiteClip, out: Path, report: Report) -> Made:
        """See `Maker.make`; the frames are copied, fitted where that was asked for."""
        notes: list[str] = []
        source = open_clip(clip.source).info
        path = self._find(clip, notes)
        frames = _fitted(path, source, notes) if self._fit else _exact(path, source)
        with open_writer(out, source, FrameRange(0, source.frames - 1)) as writer:
            for frame in frames:
                writer.write(frame)
        return Made(fit=tuple(notes), warnings=tuple(writer.warnings))

    def _find(self, clip: SuiteClip, notes: list[str]) -> Path:
        entries = self._entries(clip)
        if len(entries) != 1:
            found = ", ".join(entry.name for entry in entries)
            raise MediaError(
                f"{self._folder} holds {f'{len(entries)} outputs' if entries else 'no output'} for the clip {clip.name}"
                + (f": {found}" if found else ""),
                expected=f"a folder {clip.name} of frames, or a video {clip.name}.mp4",
                fix="Keep one of them" if entries else "Render it, or rename it as the clip",
            )
        (path,) = entries
        if not _named(path, clip.name):
            notes.append(f"taken from {path.name}")
        return path

    def _entries(self, clip: SuiteClip) -> list[Path]:
        """What is named as the clip, or else, where that is wanted, what has its name between other signs."""
        exact = [entry for entry in self._visible() if _named(entry, clip.name)]
        if exact or not self._fit:
            return exact
        within = re.compile(rf"(?<![A-Za-z0-9]){re.escape(clip.name)}(?![A-Za-z0-9])")
        return [entry for entry in self._visible() if within.search(entry.stem)]

    def _visible(self) -> list[Path]:
        return sorted(entry for entry in self._folder.iterdir() if not entry.name.startswith("."))


def _named(entry: Path, name: str) -> bool:
    return entry.name == name or (entry.is_file() and entry.stem == name)


def _exact(path: Path, source: ClipInfo) -> Iterator[Pixels]:
    clip = open_clip(path)
    found, wanted = clip.info, source
    if found.frames != wanted.frames:
        raise MediaError(
            f"{path} has {found.frames} frames, the source {wanted.frames}",
            expected="as many frames as the source",
            fix="Render the others, or add --fit to hold the last one and drop what is too much",
        )
    if (found.width, found.height) != (wanted.width, wanted.height):
        raise MediaError(
            f"{path} is {found.width}x{found.height} pixels, the source {wanted.width}x{wanted.height}",
            expected="frames of the source's size",
            fix="Render it at that size, or add --fit to scale it",
        )
    return clip.read()


def _fitted(path: Path, source: ClipInfo, notes: list[str]) -> Iterator[Pixels]:
    """Frames of the source's number and size; what was done to them is added to ``notes`` on the way."""
    size = (source.width, source.height)
    frames = _images(path, source.frames, notes) if path.is_dir() else _video(path, source.frames, notes)
    for frame in frames:
        here = (frame.shape[1], frame.shape[0])
        if here == size:
            yield frame
            continue
        note = f"scaled from {here[0]}x{here[1]} to {size[0]}x{size[1]}"
        if note not in notes:
            notes.append(note)
        shrinks = here[0] * here[1] > size[0] * size[1]
        yield np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def _video(path: Path, count: int, notes: list[str]) -> Iterator[Pixels]:
    clip = open_clip(path)
    have = clip.info.frames
    _tell_of_length(have, count, notes)
    for frame in clip.read(FrameRange(0, min(count, have) - 1)):
        last = frame
        yield frame
    for _ in range(have, count):
        yield last


def _images(folder: Path, count: int, notes: list[str]) -> Iterator[Pixels]:
    """Images by the last number in their names, counted from the least; a missing one is the one before it."""
    files: dict[int, Path] = {}
    for file in sorted(folder.iterdir()):
        match = _NUMBER.search(file.stem)
        if file.suffix.lower() in IMAGE_SUFFIXES and match and not file.name.startswith("."):
            files.setdefault(int(match[1]), file)
    if not files:
        raise MediaError(
            f"There are no numbered images in {folder}",
            expected="the frames of the clip, such as 0000.png",
            fix="Check the path",
        )
    first = min(files)
    length = max(files) - first + 1
    gaps = sum(first + index not in files for index in range(min(length, count)))
    if gaps:
        notes.append(f"{gaps} missing frames are the ones before them")
    _tell_of_length(length, count, notes)
    last = files[first]
    for index in range(count):
        last = files.get(first + index, last)
        yield read_image(last).rgb()


def _tell_of_length(have: int, count: int, notes: list[str]) -> None:
    if have < count:
        notes.append(f"{have} of {count} frames, the last one held")
    elif have > count:
        notes.append(f"{have} frames, cut to {count}")
