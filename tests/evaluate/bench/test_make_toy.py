"""The toy suite has the structure of the paper's data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mive.errors import OutputError, RequestError
from mive.evaluate.bench.make_toy import make_toy, parse_frames
from mive.evaluate.bench.suite import Suite, load_suite
from mive.media import open_clip
from mive.media.image import read_image
from mive.request import FrameRange


def words(caption: str) -> tuple[str, str]:
    """Colour and shape."""
    parts = caption.split()
    return parts[1], parts[-1]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    folder = tmp_path_factory.mktemp("toy") / "suite"
    assert list(make_toy(folder, 6, frames=FrameRange(2, 4))) == [f"{number:04d}" for number in range(6)]
    return load_suite(folder)


def test_three_to_twelve_things_of_which_one_to_nine_are_edited(toy: Suite) -> None:
    for clip in toy.clips:
        assert 3 <= len(clip.about.instances) <= 12
        assert 1 <= len(clip.instances) <= 9


def test_every_thing_is_in_view_in_every_frame_and_in_the_caption(toy: Suite) -> None:
    for clip in toy.clips:
        mattes = sorted(clip.mattes.iterdir())
        assert 2 <= len(mattes) == open_clip(clip.source).info.frames <= 4
        for path in mattes:
            counts = np.bincount(read_image(path).pixels.ravel(), minlength=1)
            assert len(counts) == len(clip.about.instances) + 1
            assert counts[1:].min() >= 40
        for instance in clip.about.instances:
            assert f"<{instance.id}>{instance.source_caption}</{instance.id}>" in clip.about.global_caption


def test_edits_keep_the_shape_and_take_a_colour_of_their_own(toy: Suite) -> None:
    for clip in toy.clips:
        targets = [words(one.caption)[0] for one in clip.instances]
        assert len(set(targets)) == len(targets)
        for one in clip.instances:
            before, after = words(one.source_caption), words(one.caption)
            assert before[0] != after[0]
            assert before[1] == after[1] == one.name


def test_the_ideal_edit_changes_what_is_edited_and_nothing_else(toy: Suite) -> None:
    for clip in toy.clips:
        assert clip.ideal is not None
        source, ideal = (np.stack(list(open_clip(path).read())) for path in (clip.source, clip.ideal))
        ids = np.stack([read_image(path).pixels for path in sorted(clip.mattes.iterdir())])[..., 0]
        edited = [one.id for one in clip.instances]
        changed = (source != ideal).any(axis=-1)
        for number in edited:
            assert changed[ids == number].mean() > 0.5
        others = np.isin(ids, [one.id for one in clip.about.instances if one.id not in edited])
        # Edges are blended, so that a neighbour's colour shows in them.
        assert changed[others].mean() < 0.15 if others.any() else True
        assert changed[ids == 0].mean() < 0.05


def test_the_same_seed_gives_the_same_suite_and_another_another(toy: Suite, tmp_path: Path) -> None:
    list(make_toy(tmp_path / "same", 1, frames=FrameRange(2, 4)))
    list(make_toy(tmp_path / "other", 1, seed=1, frames=FrameRange(2, 4)))
    same, other = load_suite(tmp_path / "same").clips[0], load_suite(tmp_path / "other").clips[0]
    first = toy.clips[0]
    assert same.about == first.about != other.about
    pictures = [np.stack(list(open_clip(clip.source).read())) for clip in (first, same)]
    assert np.array_equal(*pictures)


def test_a_larger_suite_has_small_things_and_full_pictures(tmp_path: Path) -> None:
    list(make_toy(tmp_path / "large", 2, frames=FrameRange(2, 2), size=540))
    for clip in load_suite(tmp_path / "large").clips:
        info = open_clip(clip.source).info
        assert (info.width, info.height) == (960, 540)
        for path in sorted(clip.mattes.iterdir()):
            ids = read_image(path).pixels[..., 0]
            for one in clip.about.instances:
                rows = np.flatnonzero((ids == one.id).any(1))
                assert 6 <= rows.size <= 300


def test_a_suite_is_not_written_over(toy: Suite) -> None:
    with pytest.raises(OutputError, match="already"):
        next(make_toy(toy.folder, 1))


def test_frames() -> None:
    assert parse_frames("12") == FrameRange(12, 12)
    assert parse_frames("12-46") == FrameRange(12, 46)
    for wrong in ("0", "many", "5-2"):
        with pytest.raises(RequestError, match="frame"):
            parse_frames(wrong)
