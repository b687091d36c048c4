"""Other tools' outputs: taken as they are, refused, or fitted and told of."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.evaluate.bench.conftest import FRAMES, Array

from mive.errors import MediaError, RequestError
from mive.evaluate.bench.foreign import Foreign
from mive.evaluate.bench.suite import Suite
from mive.media import ClipInfo, open_clip, open_writer
from mive.request import FrameRange


@pytest.fixture
def theirs(squares: Suite, tmp_path: Path) -> Path:
    """Outputs for the clips one (a video) and two (images)."""
    folder = tmp_path / "theirs"
    for clip, name in zip((squares.clips[0], squares.clips[2]), ("one.mkv", "two"), strict=True):
        write(folder / name, frames(clip.source))
    return folder


def frames(path: Path) -> list[Array]:
    return list(open_clip(path).read())


def write(path: Path, pictures: list[Array]) -> None:
    height, width = pictures[0].shape[:2]
    like = ClipInfo(Path("theirs"), width, height, len(pictures), Fraction(8))
    with open_writer(path, like, FrameRange(0, len(pictures) - 1)) as writer:
        for picture in pictures:
            writer.write(picture)


def taken(folder: Path, suite: Suite, clip: str, fit: bool = False) -> tuple[list[Array], tuple[str, ...]]:
    out = folder.parent / "taken.mkv"
    (one,) = (one for one in suite.clips if one.name == clip)
    made = Foreign("theirs", folder, fit).make(one, out, lambda progress: None)
    return frames(out), made.fit


@pytest.mark.parametrize("clip", ["one", "two"])
def test_videos_and_folders_are_taken_as_they_are(theirs: Path, squares: Suite, clip: str) -> None:
    got, fit = taken(theirs, squares, clip)
    assert np.array_equal(got, frames(squares.folder / clip / "source.mkv"))
    assert fit == ()


def test_a_clip_without_an_output(theirs: Path, squares: Suite) -> None:
    with pytest.raises(MediaError, match=r"no output for the clip three.*a video three\.mp4"):
        taken(theirs, squares, "three")


def test_two_outputs_for_a_clip(theirs: Path, squares: Suite) -> None:
    write(theirs / "one", frames(theirs / "one.mkv"))
    with pytest.raises(MediaError, match=r"2 outputs for the clip one: one, one\.mkv"):
        taken(theirs, squares, "one")


def test_other_names_are_refused_at_once_or_found(theirs: Path, squares: Suite) -> None:
    Foreign("theirs", theirs).check(squares.clips)
    for path in list(theirs.iterdir()):
        path.rename(theirs / f"edit_{path.name}")
    with pytest.raises(RequestError, match=r"none of the clips; it holds edit_one\.mkv.*--fit"):
        Foreign("theirs", theirs).check(squares.clips)
    Foreign("theirs", theirs, fit=True).check(squares.clips)
    got, fit = taken(theirs, squares, "one", fit=True)
    assert np.array_equal(got, frames(squares.folder / "one" / "source.mkv"))
    assert fit == ("taken from edit_one.mkv",)


def test_a_name_within_a_word_is_not_the_clips(theirs: Path, squares: Suite) -> None:
    (theirs / "one.mkv").rename(theirs / "stone.mkv")
    with pytest.raises(MediaError, match="no output for the clip one"):
        taken(theirs, squares, "one", fit=True)


@pytest.mark.parametrize("place", ["one.mkv", "two"])
@pytest.mark.parametrize("count", [FRAMES - 1, FRAMES + 2])
def test_another_number_of_frames(theirs: Path, squares: Suite, place: str, count: int) -> None:
    clip = place.split(".")[0]
    source = frames(theirs / place)
    remove(theirs / place)
    write(theirs / place, (source + [source[0]] * 2)[:count])
    with pytest.raises(MediaError, match=f"has {count} frames, the source {FRAMES}.*--fit"):
        taken(theirs, squares, clip)
    got, fit = taken(theirs, squares, clip, fit=True)
    assert len(got) == FRAMES
    if count < FRAMES:
        assert np.array_equal(got[-1], source[count - 1])
        assert fit == (f"{count} of {FRAMES} frames, the last one held",)
    else:
        assert np.array_equal(got, source)
        assert fit == (f"{count} frames, cut to {FRAMES}",)


def test_a_missing_frame(theirs: Path, squares: Suite) -> None:
    source = frames(theirs / "two")
    (theirs / "two" / "0001.png").unlink()
    with pytest.raises(MediaError, match="missing: 1"):
        taken(theirs, squares, "two")
    got, fit = taken(theirs, squares, "two", fit=True)
    assert np.array_equal(got, [source[0], source[0], source[2]])
    assert fit == ("1 missing frames are the ones before them",)


@pytest.mark.parametrize("place", ["one.mkv", "two"])
def test_another_size(theirs: Path, squares: Suite, place: str) -> None:
    clip = place.split(".")[0]
    source = frames(theirs / place)
    remove(theirs / place)
    write(theirs / place, [picture.repeat(2, 0).repeat(2, 1) for picture in source])
    with pytest.raises(MediaError, match=r"192x96 pixels, the source 96x48.*--fit"):
        taken(theirs, squares, clip)
    got, fit = taken(theirs, squares, clip, fit=True)
    assert np.array_equal(got, source)
    assert fit == ("scaled from 192x96 to 96x48",)


def test_a_folder_without_frames(theirs: Path, squares: Suite) -> None:
    remove(theirs / "two")
    (theirs / "two").mkdir()
    for fit in (False, True):
        with pytest.raises(MediaError, match=r"no .*images in"):
            taken(theirs, squares, "two", fit)


@pytest.mark.parametrize(("name", "folder"), [("a/b", "."), ("..", "."), ("", "."), ("good", "nowhere")])
def test_names_and_folders_that_cannot_be(name: str, folder: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        Foreign(name, tmp_path / folder)


def remove(path: Path) -> None:
    for file in path.iterdir() if path.is_dir() else ():
        file.unlink()
    path.rmdir() if path.is_dir() else path.unlink()
