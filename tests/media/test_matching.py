"""A frame's matte is the one with its number, wherever both have numbers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mive.errors import MatteError, MediaError
from mive.media import ClipInfo, open_clip, open_mattes
from mive.media.matching import match
from mive.media.sequence import find_sequence
from mive.media.told import Warnings
from mive.request import FrameRange, Instance

VIDEO = ClipInfo(Path("clip.mov"), 8, 6, 4, Fraction(24))


def sequence(*numbers: int) -> ClipInfo:
    return ClipInfo(
        Path("files"), 8, 6, len(numbers), Fraction(24), is_sequence=True, first_number=numbers[0], numbers=numbers
    )


def runs(first: int, last: int) -> ClipInfo:
    return sequence(*range(first, last + 1))


def places(matte: ClipInfo, clip: ClipInfo, frames: FrameRange | None = None, fit: str = "exact") -> list[int]:
    """The matte's place for every frame; a warning is an error."""
    frames = frames or FrameRange(0, clip.frames - 1)
    return list(map(match(matte, clip, frames, fit, Warnings(strict=True)), frames.indices()))


@pytest.mark.parametrize(
    ("matte", "clip", "frames", "wanted"),
    [
        pytest.param(runs(1001, 1004), runs(1001, 1004), None, [0, 1, 2, 3], id="the same numbers"),
        pytest.param(runs(990, 1010), runs(1001, 1004), None, [11, 12, 13, 14], id="mattes of a longer shot"),
        pytest.param(runs(1003, 1004), runs(1001, 1006), FrameRange(2, 3), [0, 1], id="mattes of the range"),
        pytest.param(runs(1, 4), runs(3, 4), None, [2, 3], id="a trimmed clip"),
        pytest.param(runs(-2, 3), runs(-1, 2), None, [1, 2, 3, 4], id="negative numbers"),
        pytest.param(sequence(5, 6, 9), runs(1, 9), FrameRange(4, 5), [0, 1], id="a hole outside the range"),
        pytest.param(runs(0, 3), VIDEO, None, [0, 1, 2, 3], id="a video, mattes from 0"),
        pytest.param(runs(1, 4), VIDEO, None, [0, 1, 2, 3], id="a video, mattes from 1"),
        pytest.param(runs(1001, 1004), VIDEO, None, [0, 1, 2, 3], id="a video, mattes from 1001"),
        pytest.param(runs(86400, 86403), VIDEO, None, [0, 1, 2, 3], id="a video, mattes by the timecode"),
        pytest.param(runs(2, 3), VIDEO, FrameRange(2, 3), [0, 1], id="a video's range, from 0"),
        pytest.param(runs(3, 4), VIDEO, FrameRange(2, 3), [0, 1], id="a video's range, from 1"),
        pytest.param(sequence(0, 2, 3), VIDEO, FrameRange(2, 3), [1, 2], id="a video's frames by number"),
        pytest.param(VIDEO, runs(1001, 1004), None, [0, 1, 2, 3], id="a matte in a video"),
        pytest.param(replace(VIDEO, frames=2), runs(1, 9), FrameRange(5, 6), [0, 1], id="a range's matte in a video"),
        pytest.param(
            replace(VIDEO, frames=6), replace(VIDEO, frames=4, numbers=(0, 1, 4, 5)), None, [0, 1, 4, 5],
            id="a video that lost frames, its matte did not",
        ),
        pytest.param(
            replace(VIDEO, frames=4), replace(VIDEO, frames=4, numbers=(0, 1, 4, 5)), None, [0, 1, 2, 3],
            id="a matte made from a video that lost frames",
        ),
    ],
)  # fmt: skip
def test_frames_find_their_mattes(
    matte: ClipInfo, clip: ClipInfo, frames: FrameRange | None, wanted: list[int]
) -> None:
    assert places(matte, clip, frames) == wanted


@pytest.mark.parametrize(
    ("matte", "clip", "lacking"),
    [
        pytest.param(runs(1002, 1005), runs(1001, 1004), "1001", id="off by one"),
        pytest.param(runs(1, 4), runs(0, 3), "0", id="from 1 beside from 0"),
        pytest.param(runs(2001, 2004), runs(1001, 1004), "1001-1004", id="another shot"),
        pytest.param(sequence(1, 2, 4), runs(1, 4), "3", id="a hole"),
        pytest.param(sequence(1, 2, 4, 5), runs(1, 4), "3", id="a hole, in as many files"),
        pytest.param(runs(-4, -1), runs(1, 4), "1-4", id="negative beside positive"),
        pytest.param(sequence(0, 1, 3, 4), VIDEO, "has 4 frames", id="as many files as a video's frames, with a hole"),
    ],
)
def test_a_frame_without_a_matte_is_named(matte: ClipInfo, clip: ClipInfo, lacking: str) -> None:
    with pytest.raises(MatteError, match=lacking) as caught:
        places(matte, clip)
    assert "order" in caught.value.fix or clip is VIDEO
    assert places(matte, clip, fit="order") == list(range(4)) if matte.frames == 4 else True


@pytest.mark.parametrize(
    ("matte", "clip", "frames"),
    [
        pytest.param(runs(0, 3), runs(1001, 1004), None, id="from 0"),
        pytest.param(runs(1, 4), runs(1001, 1004), None, id="from 1"),
        pytest.param(runs(1, 2), runs(1001, 1004), FrameRange(1, 2), id="the range from 1"),
        pytest.param(runs(0, 1), VIDEO, FrameRange(2, 3), id="a video's range from 0"),
    ],
)
def test_mattes_that_seem_to_count_the_frames_are_taken_so_and_it_is_told(
    matte: ClipInfo, clip: ClipInfo, frames: FrameRange | None
) -> None:
    warnings = Warnings()
    frames = frames or FrameRange(0, clip.frames - 1)
    found = match(matte, clip, frames, "exact", warnings)
    assert [found(index) for index in frames.indices()] == list(range(len(frames)))
    (told,) = warnings
    assert "in their order" in told
    with pytest.raises(MatteError, match="in their order"):
        match(matte, clip, frames, "exact", Warnings(strict=True))


def test_fit_holds_the_matte_before_by_its_number() -> None:
    assert places(sequence(1001, 1002, 1004), runs(1000, 1005), fit="fit") == [0, 0, 1, 1, 2, 2]
    assert places(replace(VIDEO, frames=2), VIDEO, fit="fit") == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("matte", "clip", "said"),
    [
        ("01:00:00:02", "01:00:00:00", "frame 2"),
        ("10:00:00:00", "09:59:59:23", "frame 1"),
        ("00:00:00:00", "01:00:00:00", None),
        ("01:00:00:00", "01:00:00:00", None),
        (None, "01:00:00:00", None),
    ],
)
def test_a_timecode_inside_the_clip_that_says_another_frame_is_told(
    matte: str | None, clip: str, said: str | None
) -> None:
    warnings = Warnings()
    match(replace(VIDEO, timecode=matte), replace(VIDEO, timecode=clip), FrameRange(0, 3), "exact", warnings)
    assert [said in text for text in warnings] == ([] if said is None else [True])


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["s.-0001.png", "s.0000.png", "s.0001.png"], (-1, 0, 1)),
        (["-002.png", "-001.png", "000.png"], (-2, -1, 0)),
        (["s_-10.png", "s_-9.png"], (-10, -9)),
        (["s-0001.png", "s-0002.png"], (1, 2)),
        (["s--01.png", "s--02.png"], (1, 2)),
        (["v2-0008.png", "v2-0009.png", "v2-0010.png"], (8, 9, 10)),
        (["s.9.png", "s.10.png"], (9, 10)),
    ],
)
def test_a_minus_is_part_of_a_number_where_something_sets_it_apart(
    tmp_path: Path, write_image, names: list[str], numbers: tuple[int, ...]
) -> None:
    for name in names:
        write_image(tmp_path / name, np.zeros((6, 8), np.uint8))
    found = find_sequence(tmp_path)
    assert found is not None
    assert found.numbers == numbers
    assert [file.name for file in found.files] == names


def test_mattes_may_have_holes_and_clips_may_not(tmp_path: Path, write_image) -> None:
    """From files to coverage: each frame is filled with its own number."""
    for folder, numbers in (("plate", range(1001, 1005)), ("mattes", (1000, 1002, 1003, 1007))):
        (tmp_path / folder).mkdir()
        for number in numbers:
            write_image(tmp_path / folder / f"s.{number}.png", np.full((6, 8), number - 999, np.uint8))
    clip = open_clip(tmp_path / "plate").info
    instances = [Instance(id=number, caption="a thing") for number in (3, 4)]
    mattes = open_mattes(str(tmp_path / "mattes"), instances, clip, FrameRange(1, 2))
    assert [mattes.read(index)[:, 0, 0].tolist() for index in (1, 2)] == [[1, 0], [0, 1]]
    with pytest.raises(MediaError, match="1001, 1004-1006"):
        open_clip(tmp_path / "mattes")
