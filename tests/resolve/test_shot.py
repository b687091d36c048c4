"""Which frames of which file lie under the playhead, and why some clips cannot be edited."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.resolve.conftest import MakeScene, Scene
from tests.resolve.fake_resolve import Project, Resolve, Timeline

from mive_resolve.refusal import Refusal
from mive_resolve.shot import Shot, find_shot


def why_not(scene: Scene) -> str:
    with pytest.raises(Refusal) as refusal:
        find_shot(scene.resolve)
    assert refusal.value.fix
    return refusal.value.what


def test_the_frames_under_the_playhead(scene: Scene) -> None:
    found = find_shot(scene.resolve)
    assert found.shot == Shot("Shot 1", str(scene.file), 10, 29, 86500, 1)
    assert found.shot.frames == 20


def test_nothing_to_edit() -> None:
    for project, what in (
        (None, "No project"),
        (Project(), "No timeline"),
        (Project(Timeline(21)), "no clip under the playhead"),
    ):
        with pytest.raises(Refusal, match=what):
            find_shot(Resolve(project))


def test_a_title_has_no_file(scene: Scene) -> None:
    scene.item.source = None
    assert "title, generator or effect" in why_not(scene)


def test_compound_and_multicam_clips_have_no_file_of_their_own(scene: Scene) -> None:
    del scene.source.properties["File Path"]
    scene.source.properties["Type"] = "Multicam"
    assert '"Shot 1" has no file of its own (Multicam)' in why_not(scene)
    del scene.source.properties["Type"]
    assert "a compound clip or multicam" in why_not(scene)


def test_a_file_that_is_missing(scene: Scene) -> None:
    scene.file.unlink()
    assert f'The file of "Shot 1" is missing: {scene.file}' in why_not(scene)


@pytest.mark.parametrize("speed", [0.5, 1.25, 2.0, -1.0, 0.05])
def test_retimed_reversed_and_frozen_clips(make_scene: MakeScene, speed: float) -> None:
    assert "retimed, frozen or a still" in why_not(make_scene(speed=speed))


def test_a_source_start_that_is_one_too_low_is_no_retime(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene.item, "GetSourceStartFrame", lambda: 9)
    assert find_shot(scene.resolve).shot.first == 10


def test_a_subclip_does_not_say_where_in_its_file_it_begins(scene: Scene) -> None:
    scene.source.properties["Start"] = "48"
    assert "begins at frame 48 of its file" in why_not(scene)


@pytest.mark.parametrize(("clip", "timeline"), [("25", "24"), ("24", "23.976"), ("29.97", "30"), ("59.94 DF", "29.97")])
def test_a_timeline_of_another_rate(scene: Scene, clip: str, timeline: str) -> None:
    scene.source.properties["FPS"], scene.timeline.rate = clip, timeline
    assert "frames per second, and the timeline has" in why_not(scene)


@pytest.mark.parametrize(
    ("clip", "timeline"), [("23.976", "23.98"), ("24.000", "24"), ("29.97", "29.97 DF"), ("", "24")]
)
def test_the_same_rate_in_other_words(scene: Scene, clip: str, timeline: str) -> None:
    scene.source.properties["FPS"], scene.timeline.rate = clip, timeline
    assert find_shot(scene.resolve).shot.first == 10


@pytest.fixture
def sequence(scene: Scene, tmp_path: Path) -> Scene:
    for number in range(1001, 1101):
        (tmp_path / f"plate.{number:06}.exr").touch()
    scene.source.properties.update({"File Path": f"{tmp_path}/plate.[001001-001100].exr", "Start": "1001"})
    return scene


def test_a_sequence_is_named_as_mive_names_it(sequence: Scene, tmp_path: Path) -> None:
    from mive.media.sequence import find_sequence

    shot = find_shot(sequence.resolve).shot
    assert shot.clip == f"{tmp_path}/plate.######.exr"
    assert (shot.first, shot.last) == (10, 29)
    files = find_sequence(shot.clip)
    assert files is not None
    assert files.files[shot.first].name == "plate.001011.exr"


def test_a_sequence_of_which_resolve_has_only_the_end(sequence: Scene, tmp_path: Path) -> None:
    (tmp_path / "plate.001000.exr").touch()
    assert "leaves out the beginning of its sequence" in why_not(sequence)


def test_a_sequence_that_is_missing(sequence: Scene, tmp_path: Path) -> None:
    (tmp_path / "plate.001001.exr").unlink()
    assert "is missing" in why_not(sequence)


def test_a_file_with_brackets_in_its_name_is_no_sequence(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "take [1-2].mov"
    path.touch()
    scene.source.properties["File Path"] = str(path)
    assert find_shot(scene.resolve).shot.clip == str(path)
