"""DaVinci Resolve, as far as the script uses it, with the habits that its users report."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.resolve.fake_fusion import FakeFusion
from tests.resolve.stubs import Fake

_ids = itertools.count()


class MediaPoolItem(Fake):
    """A clip in the media pool; without ``File Path``, one that is made of others."""

    def __init__(self, **properties: str) -> None:
        self.properties = {name.replace("_", " "): value for name, value in properties.items()}

    def GetClipProperty(self, propertyName: str) -> str:
        return self.properties.get(propertyName, "")

    def SetClipProperty(self, propertyName: str, propertyValue: object) -> bool:
        self.properties[propertyName] = str(propertyValue)
        return True


@dataclass(eq=False)
class TimelineItem(Fake):
    """A clip on a timeline. Its numbers are frames."""

    source: MediaPoolItem | None
    start: int
    duration: int
    left: int = 0
    name: str = "Shot 1"
    speed: float = 1.0
    timeline: Timeline | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    grade: str = ""
    gradeable: bool = True

    def GetName(self) -> str:
        return self.name

    def GetMediaPoolItem(self) -> MediaPoolItem | None:
        return self.source

    def GetStart(self, subframe_precision: bool) -> int | None:
        return self.start if self._there() else None

    def GetDuration(self, subframe_precision: bool) -> int | None:
        return self.duration if self._there() else None

    def GetLeftOffset(self, subframe_precision: bool) -> int | None:
        return self.left if self._there() else None

    def GetSourceStartFrame(self) -> int:
        return round(self.left * self.speed)

    def GetSourceEndFrame(self) -> int:
        return round(self.left * self.speed) + round(self.duration * self.speed) - 1

    def GetTrackTypeAndIndex(self) -> tuple[str, int]:
        assert self.timeline is not None
        return "video", next(i for i, track in enumerate(self.timeline.tracks, 1) if self in track.items)

    def GetProperty(self, propertyKey: str) -> Any:
        return self.properties.get(propertyKey)

    def SetProperty(self, propertyKey: str, propertyValue: Any) -> bool:
        self.properties[propertyKey] = propertyValue
        return True

    def CopyGrades(self, tgtTimelineItems: list[TimelineItem]) -> bool:
        for item in tgtTimelineItems if self.gradeable else ():
            item.grade = self.grade
        return self.gradeable

    def _there(self) -> bool:
        return self.timeline is not None and any(self in track.items for track in self.timeline.tracks)


@dataclass
class Track:
    """A video track."""

    name: str
    items: list[TimelineItem] = field(default_factory=list)


class Timeline(Fake):
    """Video tracks, from the lowest.

    Args:
        version: of Resolve. Before 19 new tracks are always on top.
    """

    def __init__(self, version: int, tracks: int = 1, rate: str = "24", can_add: bool = True) -> None:
        self.version = version
        self.tracks = [Track(f"Video {number}") for number in range(1, tracks + 1)]
        self.rate = rate
        self.can_add = can_add
        self.current: TimelineItem | None = None
        self.id = f"timeline-{next(_ids)}"

    def put(self, item: TimelineItem, track: int = 1, current: bool = True) -> TimelineItem:
        """An item that the user put there."""
        item.timeline = self
        self.tracks[track - 1].items.append(item)
        if current:
            self.current = item
        return item

    def GetUniqueId(self) -> str:
        return self.id

    def GetCurrentVideoItem(self) -> TimelineItem | None:
        return self.current

    def GetSetting(self, settingName: str) -> str:
        return {"timelineFrameRate": self.rate}[settingName]

    def GetTrackCount(self, trackType: str) -> int:
        return len(self.tracks)

    def AddTrack(self, trackType: str, options: Any = None) -> bool:
        if not self.can_add:
            return False
        index = options["index"] - 1 if options and self.version >= 19 else len(self.tracks)
        self.tracks.insert(index, Track("new"))
        return True

    def DeleteTrack(self, trackType: str, trackIndex: int) -> bool:
        del self.tracks[trackIndex - 1]
        return True

    def SetTrackName(self, trackType: str, trackIndex: int, name: str) -> bool:
        self.tracks[trackIndex - 1].name = name
        return True

    def GetItemListInTrack(self, trackType: str, index: int) -> list[TimelineItem]:
        return list(self.tracks[index - 1].items)

    def DeleteClips(self, timelineItems: list[TimelineItem], ripple: bool) -> bool:
        assert not ripple, "nothing of the user's may move"
        for track in self.tracks:
            track.items = [item for item in track.items if item not in timelineItems]
        return True


class MediaPool(Fake):
    """The media pool. Appends to the timeline that is open."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.items: list[MediaPoolItem] = []
        self.importable = True
        self.appendable = True
        self.shift = 0
        """How far from where they should go clips come to lie."""

    def ImportMedia(self, items: list[str]) -> list[MediaPoolItem]:
        if not self.importable:
            return []
        made = [MediaPoolItem(File_Path=path) for path in items]
        assert all(Path(path).is_file() for path in items)
        self.items += made
        return made

    def AppendToTimeline(self, clipInfo: list[dict[str, Any]]) -> list[TimelineItem]:
        timeline = self.project.current
        assert timeline is not None
        if not self.appendable:
            return []
        (info,) = clipInfo
        assert info["mediaType"] == 1, "the sound stays where it is"
        # From 19 on the end is excluded.
        frames = info["endFrame"] - info["startFrame"] + (timeline.version < 19)
        item = TimelineItem(info["mediaPoolItem"], info["recordFrame"] + self.shift, frames)
        timeline.put(item, info["trackIndex"], current=False)
        return [item]


class Project(Fake):
    """A project with timelines, of which one may be open."""

    def __init__(self, *timelines: Timeline) -> None:
        self.timelines = list(timelines)
        self.current: Timeline | None = timelines[0] if timelines else None
        self.pool = MediaPool(self)
        self.id = f"project-{next(_ids)}"

    def GetUniqueId(self) -> str:
        return self.id

    def GetMediaPool(self) -> MediaPool:
        return self.pool

    def GetCurrentTimeline(self) -> Timeline | None:
        return self.current

    def SetCurrentTimeline(self, timeline: Timeline) -> bool:
        if timeline not in self.timelines:
            return False
        self.current = timeline
        return True


class ProjectManager(Fake):
    """Knows the open project."""

    def __init__(self, project: Project | None) -> None:
        self.project = project

    def GetCurrentProject(self) -> Project | None:
        return self.project


class Resolve(Fake):
    """The program.

    Args:
        scenario: what the user does in the window, see :class:`FakeFusion`.
    """

    def __init__(self, project: Project | None, scenario: Callable[[Any], None] | None = None) -> None:
        self.manager = ProjectManager(project)
        self.fusion = FakeFusion(scenario)
        self.bmd = SimpleNamespace(UIDispatcher=self.fusion.dispatcher, scriptapp=lambda name: self)

    def GetProjectManager(self) -> ProjectManager:
        return self.manager

    def Fusion(self) -> FakeFusion:
        return self.fusion
