"""The edited clip onto the timeline: exactly there, and nothing else changes, least of all where something fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.resolve.conftest import MakeScene, Scene
from tests.resolve.fake_resolve import Project, Timeline, TimelineItem

from mive_resolve.place import place
from mive_resolve.refusal import Refusal
from mive_resolve.shot import find_shot


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "edited.mov"
    path.touch()
    return path


def put(scene: Scene, out: Path) -> list[str]:
    return place(scene.resolve, find_shot(scene.resolve), out)


def layout(timeline: Timeline) -> list[tuple[str, list[tuple[int, int]]]]:
    return [(track.name, [(item.start, item.duration) for item in track.items]) for track in timeline.tracks]


@pytest.mark.parametrize("version", [18, 19, 21])
def test_it_lies_on_a_new_track_at_the_same_place(make_scene: MakeScene, out: Path, version: int) -> None:
    scene = make_scene(version)
    assert put(scene, out) == []
    assert layout(scene.timeline) == [("Video 1", [(86500, 20)]), ("MIVE", [(86500, 20)])]
    (edited,) = scene.timeline.tracks[1].items
    assert edited.source is scene.project.pool.items[0]
    assert edited.source.properties["File Path"] == str(out)


@pytest.mark.parametrize(("version", "names"), [(21, "Video 1, MIVE, Video 2"), (18, "Video 1, Video 2, MIVE")])
def test_it_lies_below_what_is_above_the_clip_where_resolve_can(
    make_scene: MakeScene, out: Path, version: int, names: str
) -> None:
    scene = make_scene(version, tracks=2)
    title = scene.timeline.put(TimelineItem(None, 86510, 5), track=2, current=False)
    put(scene, out)
    assert ", ".join(track.name for track in scene.timeline.tracks) == names
    assert [track.items for track in scene.timeline.tracks if title in track.items] == [[title]]


@pytest.mark.parametrize("version", [18, 21])
def test_an_empty_track_of_the_users_is_not_taken(make_scene: MakeScene, out: Path, version: int) -> None:
    scene = make_scene(version, tracks=2)
    put(scene, out)
    assert [name for name, items in layout(scene.timeline)] == ["Video 1", "Video 2", "MIVE"]
    assert layout(scene.timeline)[1] == ("Video 2", [])


def test_it_looks_like_the_clip_it_was_made_from(scene: Scene, out: Path) -> None:
    scene.item.grade = "warm"
    scene.item.properties = {"ZoomX": 1.2, "Pan": -30.0, "FlipX": False, "Unheard of": 1}
    scene.source.properties["Input Color Space"] = "S-Gamut3/S-Log3"
    put(scene, out)
    (edited,) = scene.timeline.tracks[1].items
    assert edited.grade == "warm"
    assert edited.properties == {"ZoomX": 1.2, "Pan": -30.0, "FlipX": False}
    assert edited.source is not None
    assert edited.source.properties["Input Color Space"] == "S-Gamut3/S-Log3"


def test_a_grade_that_cannot_be_copied_is_a_warning(scene: Scene, out: Path) -> None:
    scene.item.gradeable = False
    assert put(scene, out) == ["The grade could not be copied to the edited clip"]
    assert layout(scene.timeline)[1] == ("MIVE", [(86500, 20)])


def test_a_clip_that_was_moved_or_trimmed_meanwhile(scene: Scene, out: Path) -> None:
    found = find_shot(scene.resolve)
    scene.item.start, scene.item.left, scene.item.duration = 90003, 13, 5
    place(scene.resolve, found, out)
    (edited,) = scene.timeline.tracks[1].items
    # Frame 10 of the file, 3 before the first that is still shown.
    assert edited.start == 90000


def test_a_clip_that_was_removed_meanwhile(scene: Scene, out: Path) -> None:
    found = find_shot(scene.resolve)
    scene.timeline.tracks[0].items.clear()
    place(scene.resolve, found, out)
    assert layout(scene.timeline) == [("Video 1", []), ("MIVE", [(86500, 20)])]


def test_another_timeline_that_is_open_now_stays_as_it_is(scene: Scene, out: Path) -> None:
    found = find_shot(scene.resolve)
    other = Timeline(21)
    scene.project.timelines.append(other)
    scene.project.current = other
    place(scene.resolve, found, out)
    assert layout(other) == [("Video 1", [])]
    assert layout(scene.timeline)[1] == ("MIVE", [(86500, 20)])
    assert scene.project.current is other


def another_project(scene: Scene) -> None:
    scene.resolve.manager.project = Project(Timeline(21))


def timeline_gone(scene: Scene) -> None:
    scene.project.timelines.clear()
    scene.project.current = None


def no_import(scene: Scene) -> None:
    scene.project.pool.importable = False


def no_track(scene: Scene) -> None:
    scene.timeline.can_add = False


def no_append(scene: Scene) -> None:
    scene.project.pool.appendable = False


def wrong_place(scene: Scene) -> None:
    scene.project.pool.shift = 7


@pytest.mark.parametrize("trouble", [another_project, timeline_gone, no_import, no_track, no_append, wrong_place])
def test_where_it_fails_the_timeline_is_as_before_and_the_file_is_named(
    make_scene: MakeScene, out: Path, trouble: object
) -> None:
    scene = make_scene(tracks=2)
    scene.timeline.put(TimelineItem(None, 86510, 5), track=2, current=False)
    before = layout(scene.timeline)
    found = find_shot(scene.resolve)
    trouble(scene)
    with pytest.raises(Refusal) as refusal:
        place(scene.resolve, found, out)
    assert str(out) in refusal.value.fix
    assert layout(scene.timeline) == before
    assert out.exists()


def test_a_call_that_resolve_does_not_have_fails_here(scene: Scene) -> None:
    with pytest.raises(AttributeError):
        scene.timeline.AddVideoTrack()
    with pytest.raises(AssertionError, match="GetProperty"):
        scene.item.GetProperty(3)
    with pytest.raises(AssertionError, match="AppendToTimeline"):
        scene.project.pool.AppendToTimeline([{"mediaPoolItem": scene.source, "frames": 3}])
    with pytest.raises(AssertionError, match="AddTrack"):
        scene.timeline.AddTrack("pictures")
