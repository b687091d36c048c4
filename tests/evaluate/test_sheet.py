"""Contact sheets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mive.errors import OutputError
from mive.evaluate.sheet import COLOURS, contact_sheet, spread, write_sheet


@pytest.mark.parametrize(
    ("count", "shown"),
    [(1, [0]), (4, [0, 1, 2, 3]), (8, [0, 1, 3, 4, 6, 7]), (51, [0, 10, 20, 30, 40, 50])],
)
def test_frames_are_spread_over_the_clip(count: int, shown: list[int]) -> None:
    assert spread(count) == shown


@pytest.mark.parametrize("size", [(60, 100), (100, 60), (1080, 1920)], ids=str)
def test_all_rows_have_one_width_and_the_frames_keep_their_shape(size: tuple[int, int]) -> None:
    frames = [np.full((*size, 3), 100, np.uint8)] * 3
    mattes = [np.ones((1, *size), np.float32)] * 3
    sheet = contact_sheet(frames, mattes, frames, ["a red cup"])
    assert sheet.dtype == np.uint8
    rows = np.flatnonzero((sheet == 100).all(axis=2).sum(axis=1) > 20)
    columns = np.flatnonzero((sheet == 100).all(axis=2).sum(axis=0) > 20)
    height, width = len(rows) / 2, len(columns) / 3
    assert width / height == pytest.approx(size[1] / size[0], rel=0.02)
    assert max(height, width) == 240


def test_an_ideal_is_one_more_row_above_the_edit() -> None:
    grey, mattes = [np.full((64, 64, 3), 100, np.uint8)] * 2, [np.ones((1, 64, 64), np.float32)] * 2
    ideal, edited = [np.full((64, 64, 3), 150, np.uint8)] * 2, [np.full((64, 64, 3), 200, np.uint8)] * 2
    sheet = contact_sheet(grey, mattes, edited, ["a red cup"], ideal)
    tops = [np.flatnonzero((sheet == value).all(axis=2).sum(axis=1) > 20)[0] for value in (100, 150, 200)]
    assert tops == sorted(tops)
    assert sheet.shape[0] - contact_sheet(grey, mattes, edited, ["a red cup"]).shape[0] > 240


def test_mattes_and_captions_share_a_colour() -> None:
    frames = [np.full((64, 64, 3), 255, np.uint8)]
    mattes = np.zeros((1, 2, 64, 64), np.float32)
    mattes[0, 0, :, :30] = 1
    sheet = contact_sheet(frames, list(mattes), frames, ["first", "second"])
    for colour in COLOURS[:2]:
        assert (sheet == colour).all(axis=2).sum() > 200
    assert not (sheet == COLOURS[2]).all(axis=2).any()


def test_a_long_caption_is_not_cut() -> None:
    frames = [np.zeros((64, 64, 3), np.uint8)]
    mattes = [np.zeros((1, 64, 64), np.float32)]
    short = contact_sheet(frames, mattes, frames, ["a cup"])
    long = contact_sheet(frames, mattes, frames, ["a cup " * 20])
    assert long.shape[1] > short.shape[1]
    assert (long[:, -8:] == long[0, -1]).all()


def test_a_sheet_is_written_as_png(tmp_path: Path) -> None:
    sheet = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    write_sheet(tmp_path / "sheet.png", sheet)
    assert np.array_equal(cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1], sheet)
    with pytest.raises(OutputError, match="nowhere"):
        write_sheet(tmp_path / "nowhere" / "sheet.png", sheet)
