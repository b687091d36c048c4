"""The clip under the playhead: which frames of which file, and where they lie on the timeline.

What Resolve's numbers mean is not all in its documentation. From reports of its users: durations and left offsets
count timeline frames, the end frame of the source is itself included, and its start frame can be one too low.
So the offset says which frames are used, and the source's frames only whether the clip is retimed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mive_resolve.refusal import Refusal

if TYPE_CHECKING:
    from fusionscript import MediaPoolItem, Project, Resolve, Timeline, TimelineItem

_SEQUENCE = re.compile(r"(?P<head>.*)\[(?P<first>\d+)-(?P<last>\d+)\](?P<tail>.*)", re.DOTALL)


@dataclass(frozen=True)
class Shot:
    """What is to be edited, and where it belongs."""

    name: str
    clip: str
    """The file, or the sequence with ``#`` for digits, as ``mive render`` takes it."""
    first: int
    """Of the clip's frames, counted from 0."""
    last: int
    """Itself included."""
    start: int
    """The frame of the timeline at which ``first`` lies, counted as Resolve does: from 00:00:00:00."""
    track: int
    """The video track, counted from 1."""

    @property
    def frames(self) -> int:
        """How many."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Found:
    """A shot, and Resolve's objects that it was read from."""

    shot: Shot
    project: Project
    timeline: Timeline
    item: TimelineItem
    source: MediaPoolItem


def find_shot(resolve: Resolve) -> Found:
    """The clip under the playhead.

    Raises:
        Refusal: there is none, or MIVE cannot edit it.
    """
    project = resolve.GetProjectManager().GetCurrentProject()
    if not project:
        raise Refusal("No project is open", "Open one")
    timeline = project.GetCurrentTimeline()
    if not timeline:
        raise Refusal("No timeline is open", "Open the one with the clip on the Edit page")
    item = timeline.GetCurrentVideoItem()
    if not item:
        raise Refusal("There is no clip under the playhead", "Move the playhead onto the clip")
    name = item.GetName()
    source = item.GetMediaPoolItem()
    if not source:
        raise Refusal(
            f'"{name}" is not made from a file: it is a title, generator or effect', "Choose a clip from a file"
        )
    clip, number = _clip(name, source)
    _check_start(name, source, number)
    first, frames = _frames(name, timeline, item, source)
    _, track = item.GetTrackTypeAndIndex()
    shot = Shot(name, clip, first, first + frames - 1, _whole(item.GetStart(False)), int(track))
    return Found(shot, project, timeline, item, source)


def _clip(name: str, source: MediaPoolItem) -> tuple[str, int]:
    """The file as MIVE names it, and the number of its first frame."""
    path = _text(source, "File Path")
    if not path:
        raise Refusal(
            f'"{name}" has no file of its own ({_text(source, "Type") or "a compound clip or multicam"})',
            "Open it on a timeline of its own (Open in Timeline), and choose a clip there",
        )
    if os.path.exists(path):
        return path, 0
    match = _SEQUENCE.fullmatch(path)
    files = [] if match is None else _files(match)
    if match is None or not os.path.exists(files[1]):
        raise Refusal(f'The file of "{name}" is missing: {path}', "Relink the clip")
    if os.path.exists(files[0]):
        raise Refusal(
            f'"{name}" leaves out the beginning of its sequence: there is {files[0]}',
            "Import the whole sequence",
        )
    return match["head"] + "#" * len(match["first"]) + match["tail"], int(match["first"])


def _files(match: re.Match[str]) -> tuple[str, str]:
    """The file before the first of a sequence, and the first."""
    first, width = int(match["first"]), len(match["first"])
    before, there = (f"{match['head']}{number:0{width}}{match['tail']}" for number in (first - 1, first))
    return before, there


def _check_start(name: str, source: MediaPoolItem, number: int) -> None:
    start = _number(_text(source, "Start"))
    if start is not None and start not in (0, number):
        raise Refusal(
            f'"{name}" begins at frame {start:g} of its file: it is a subclip', "Use the clip it was cut from"
        )


def _frames(name: str, timeline: Timeline, item: TimelineItem, source: MediaPoolItem) -> tuple[int, int]:
    """The first frame, and how many there are."""
    rate, wanted = _number(_text(source, "FPS")), _number(str(timeline.GetSetting("timelineFrameRate")))
    if rate and wanted and abs(rate - wanted) > 0.01:
        raise Refusal(
            f'"{name}" has {rate:g} frames per second, and the timeline has {wanted:g}',
            "Use a timeline of the clip's frame rate",
        )
    frames = _whole(item.GetDuration(False))
    used = _whole(item.GetSourceEndFrame()) - _whole(item.GetSourceStartFrame()) + 1
    if abs(used - frames) > 1:
        raise Refusal(
            f'"{name}" shows {used} frames of its file in {frames}: it is retimed, frozen or a still',
            "Set its speed to 100%, and retime the edited clip",
        )
    return _whole(item.GetLeftOffset(False)), frames


def _text(source: MediaPoolItem, name: str) -> str:
    value = source.GetClipProperty(name)
    return "" if isinstance(value, dict) or value is None else str(value).strip()


def _number(text: str) -> float | None:
    """The number at the beginning of ``29.97 DF``."""
    match = re.match(r"\d+(\.\d+)?", text)
    return float(match[0]) if match else None


def _whole(value: float) -> int:
    return round(value)
