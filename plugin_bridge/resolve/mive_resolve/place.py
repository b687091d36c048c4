"""The result onto the timeline: a new track above the clip, at the same place. Nothing that was there is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mive_resolve.refusal import Refusal
from mive_resolve.shot import Found

if TYPE_CHECKING:
    from fusionscript import MediaPool, MediaPoolClipInfo, MediaPoolItem, Resolve, Timeline, TimelineItem

TRACK_NAME = "MIVE"
_VIDEO_ONLY: Final = 1
# How a file's values are read.
_READING = ("Input Color Space", "Data Level", "Input LUT")
# How a clip lies in the picture.
_SIZING = (
    "Pan", "Tilt", "ZoomX", "ZoomY", "ZoomGang", "RotationAngle", "AnchorPointX", "AnchorPointY", "Pitch", "Yaw",
    "FlipX", "FlipY", "CropLeft", "CropRight", "CropTop", "CropBottom", "CropSoftness", "CropRetain", "Opacity",
    "CompositeMode", "Distortion", "Scaling", "ResizeFilter",
)  # fmt: skip


def place(resolve: Resolve, found: Found, out: Path) -> list[str]:
    """Puts an edited clip above the clip it was made from, with that one's grade and sizing.

    Returns:
        What the user should know.

    Raises:
        Refusal: Resolve does not take it. The timeline is then as before, and the file stays.
    """
    project = resolve.GetProjectManager().GetCurrentProject()
    if not project or project.GetUniqueId() != found.project.GetUniqueId():
        raise _by_hand("Another project is open now", out)
    pool = project.GetMediaPool()
    imported = pool.ImportMedia([str(out)])
    if not imported:
        raise _by_hand(f"Resolve does not import {out}", out)
    edited = imported[0]
    for name in _READING:
        value = found.source.GetClipProperty(name)
        if value:
            edited.SetClipProperty(name, value)
    current = project.GetCurrentTimeline()
    # Clips are appended to the timeline that is open.
    elsewhere = not current or current.GetUniqueId() != found.timeline.GetUniqueId()
    if elsewhere and not project.SetCurrentTimeline(found.timeline):
        raise _by_hand("The timeline of the clip is gone", out)
    try:
        item = _on_new_track(pool, found, edited, out)
        return list(_warnings(found, item))
    finally:
        if elsewhere and current:
            project.SetCurrentTimeline(current)


def _on_new_track(pool: MediaPool, found: Found, edited: MediaPoolItem, out: Path) -> TimelineItem:
    timeline = found.timeline
    track = _add_track(timeline, found.shot.track + 1)
    if track is None:
        raise _by_hand("Resolve does not add a track", out)
    timeline.SetTrackName("video", track, TRACK_NAME)
    try:
        item = _append(pool, found, edited, track)
        if item is None:
            raise _by_hand("Resolve does not put the edited clip onto the timeline", out)
        return item
    except BaseException:
        if not timeline.GetItemListInTrack("video", track):
            timeline.DeleteTrack("video", track)
        raise


def _add_track(timeline: Timeline, wanted: int) -> int | None:
    """Adds a track where it is wanted, which Resolve can from 19 on, else on top; returns its number."""
    before = timeline.GetTrackCount("video")
    # Older ones put it on top whatever they are told. Only above a track with clips can that be told apart.
    if wanted <= before and timeline.GetItemListInTrack("video", wanted):
        timeline.AddTrack("video", {"index": wanted})
    if timeline.GetTrackCount("video") == before:
        wanted = before + 1
        # The stubs do not know that the second argument may be left out.
        timeline.AddTrack("video")  # type: ignore[call-overload]
    after = timeline.GetTrackCount("video")
    if after != before + 1:
        return None
    for track in (wanted, after):
        if track <= after and not timeline.GetItemListInTrack("video", track):
            return track
    return None


def _append(pool: MediaPool, found: Found, edited: MediaPoolItem, track: int) -> TimelineItem | None:
    """The new item, with exactly the shot's frames at its place, or ``None`` and no item."""
    frames, start = found.shot.frames, _start(found)
    # The end frame is excluded from Resolve 19 on, and was included before: the item's length tells.
    for end in (frames, frames - 1):
        info: MediaPoolClipInfo = {
            "mediaPoolItem": edited, "startFrame": 0, "endFrame": end, "mediaType": _VIDEO_ONLY,
            "trackIndex": track, "recordFrame": start,
        }  # fmt: skip
        # The stubs' overload for dicts stands behind one that is not marked as an overload.
        items = pool.AppendToTimeline([info])  # type: ignore[arg-type]
        item = items[0] if items else None
        if item:
            if (item.GetStart(False), item.GetDuration(False)) == (start, frames):
                return item
            found.timeline.DeleteClips([item], False)
    return None


def _start(found: Found) -> int:
    """Where the shot's first frame lies now: the clip may have been moved or trimmed meanwhile."""
    try:
        return round(found.item.GetStart(False) + found.shot.first - found.item.GetLeftOffset(False))
    except TypeError:  # a clip that was removed answers None
        return found.shot.start


def _warnings(found: Found, item: TimelineItem) -> Iterator[str]:
    for name in _SIZING:
        value = found.item.GetProperty(name)
        if value is not None and value != item.GetProperty(name):
            item.SetProperty(name, value)
    if not found.item.CopyGrades([item]):
        yield "The grade could not be copied to the edited clip"


def _by_hand(what: str, out: Path) -> Refusal:
    return Refusal(what, f"The edited clip is {out}: import it yourself")
