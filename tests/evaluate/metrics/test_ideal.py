"""An edit on disk against the ideal one, and what a VAE leaves of that."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.networks.sd15 import save_sd15

from mive.errors import MediaError
from mive.evaluate.metrics.fidelity import Likeness
from mive.evaluate.metrics.files import Ideal, load_round_trip, score_files
from mive.evaluate.metrics.ideal import against, average, compare
from mive.evaluate.metrics.report import Scores
from mive.evaluate.metrics.round_trip import RoundTrip
from mive.media import ClipInfo, open_writer
from mive.request import FrameRange, Instance

Array = np.ndarray[Any, Any]
FRAMES, SIZE = 4, (24, 40)
INSTANCES = (Instance(id=1, caption="blue", source_caption="red"), Instance(id=2, caption="red", source_caption="blue"))


def write(path: Path, frames: list[Array]) -> Path:
    height, width = frames[0].shape[:2]
    span = FrameRange(0, len(frames) - 1)
    with open_writer(path, ClipInfo(Path("squares"), width, height, len(frames), Fraction(8)), span) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.fixture
def mattes(tmp_path: Path) -> Path:
    """Two squares; the second comes in the third frame."""
    frames = []
    for number in range(FRAMES):
        ids = np.zeros((*SIZE, 3), np.uint8)
        ids[4:20, 2:18] = 1
        if number >= 2:
            ids[4:20, 22:38] = 2
        frames.append(ids)
    return write(tmp_path / "mattes", frames)


def grey(value: int, frames: int = FRAMES, size: tuple[int, int] = SIZE) -> list[Array]:
    return [np.full((*size, 3), value, np.uint8)] * frames


@pytest.fixture
def score(tmp_path: Path, mattes: Path, embedder: Any) -> Any:
    """``score(ideal, edited)`` of clips of these frames, with more of what `score_files` takes."""

    def scored(ideal: list[Array], edited: list[Array], round_trip: RoundTrip | None = None, **more: Any) -> Scores:
        source = write(tmp_path / "source.mkv", grey(60))
        after, best = write(tmp_path / "edited.mkv", edited), write(tmp_path / "ideal.mkv", ideal)
        return score_files(source, after, str(mattes), INSTANCES, judge=embedder, ideal=Ideal(best, round_trip), **more)

    return scored


def test_frames_that_do_not_show_an_instance_are_skipped_and_it_is_said(score: Any) -> None:
    result: Scores = score([*grey(100, 2), *grey(110, 2)], grey(100))
    first, second = result.instances
    assert first.ideal is not None
    assert second.ideal is not None
    off = 20 * np.log10(255 / 10)
    assert first.ideal.psnr == pytest.approx((100 + off) / 2)
    assert second.ideal.psnr == pytest.approx(off)
    assert result.ideal is not None
    assert result.ideal.psnr == pytest.approx((100 + 3 * off) / 4)
    assert [note for note in result.notes if "against the ideal" in note] == [
        "Instance 2 is in 2 of 4 frames: the others do not count against the ideal."
    ]


def test_an_instance_in_no_frame_has_no_scores() -> None:
    there = np.ones(SIZE, np.float32)
    mattes = [np.stack([there, there * 0.4])] * 2
    first, second = compare(grey(100, 2), grey(100, 2), mattes)
    assert first.psnr == 100
    assert second == Likeness(None, None, None)
    assert average([first, second]) == first
    assert average([second]) == second


@pytest.mark.parametrize("frames", [2, FRAMES], ids=["of the edit's frames", "of the source's"])
def test_an_ideal_of_all_frames_or_those_of_the_edit(score: Any, frames: int) -> None:
    ideal = grey(50, frames - 2) + grey(100, 2)
    assert score(ideal, grey(100, 2), frames=FrameRange(2, 3)).ideal.psnr == 100


def test_an_ideal_that_does_not_fit(score: Any) -> None:
    with pytest.raises(MediaError, match="The ideal edit has 3 frames, the edited clip 4"):
        score(grey(100, 3), grey(100))
    with pytest.raises(MediaError, match="The ideal edit is 80x48 pixels, the source 40x24"):
        score(grey(100, size=(48, 80)), grey(100))


def test_without_an_ideal_nothing_is_said_of_it(tmp_path: Path, mattes: Path, embedder: Any) -> None:
    clip = write(tmp_path / "clip.mkv", grey(60))
    result = score_files(clip, clip, str(mattes), INSTANCES, judge=embedder)
    assert result.ideal is None
    assert not [note for note in result.notes if "ideal" in note]


def test_a_share_is_of_what_the_vae_reaches() -> None:
    assert against(Likeness(psnr=15), Likeness(psnr=20)).share == 0.75
    assert against(Likeness(psnr=15), Likeness()).share is None
    assert average([Likeness(10, 4, 0.5), Likeness(), Likeness(20, 2, 0.7)]) == Likeness(15, 3, pytest.approx(0.6))


def test_the_ceiling_is_the_bundles_vae(tmp_path: Path, score: Any) -> None:
    trip = load_round_trip(save_sd15(tmp_path / "random"))
    assert trip is not None
    result: Scores = score(grey(100), grey(110), trip)
    assert result.ideal is not None
    rebuilt = list(trip.frames(grey(100)))
    assert [frame.shape for frame in rebuilt] == [(*SIZE, 3)] * FRAMES
    inside = np.zeros((1, *SIZE), np.float32)
    inside[0, 4:20, 2:18] = 1
    (own,) = compare(rebuilt, grey(100), [inside] * FRAMES)
    assert result.instances[0].ideal is not None
    assert result.instances[0].ideal.ceiling == own
    assert own.psnr
    assert result.ideal.share == pytest.approx(result.ideal.psnr / result.ideal.ceiling.psnr)  # type: ignore[operator]


def test_a_clip_model_by_itself_has_no_ceiling(tmp_path: Path) -> None:
    bundle = save_sd15(tmp_path / "random")
    assert load_round_trip(bundle / "clip") is None
