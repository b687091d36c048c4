"""The picture of a running edit that users open."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from mive.client import Preview
from mive_bridge.previews import PreviewSheet


def preview(instance: int, done: int, shape: tuple[int, int], colour: tuple[int, int, int]) -> Preview:
    image = np.full((*shape, 3), colour, np.uint8)
    return Preview("job", 1, datetime.now(UTC), instance=instance, frame=0, done=done, total=20, image=image)


def test_instances_stand_side_by_side_in_the_order_of_their_ids(tmp_path: Path) -> None:
    sheet = PreviewSheet(tmp_path / "previews" / "a.png")
    assert sheet.line == ""
    sheet.show(preview(7, 0, (10, 20), (0, 0, 255)))
    assert sheet.line == f"Preview from a quick sketch: {tmp_path}/previews/a.png"
    sheet.show(preview(2, 3, (16, 8), (255, 0, 0)))
    assert sheet.line == f"Preview after step 3 of 20: {tmp_path}/previews/a.png"
    drawn = cv2.imread(str(tmp_path / "previews" / "a.png"))
    assert drawn is not None
    assert drawn.shape == (16, 8 + 4 + 20, 3)
    assert drawn[0, 0].tolist() == [0, 0, 255], "2 is red"
    assert drawn[0, -1].tolist() == [255, 0, 0], "7 is blue"
    assert not drawn[12, -1].any()


def test_it_goes_with_its_edit_and_with_a_bridge_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    sheet = PreviewSheet(path)
    sheet.show(preview(1, 1, (8, 8), (1, 2, 3)))
    sheet.remove()
    assert (sheet.line, path.exists()) == ("", False)
    sheet.show(preview(1, 1, (8, 8), (1, 2, 3)))
    PreviewSheet(path)
    assert not path.exists()


def test_that_it_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sheet = PreviewSheet(tmp_path / "file" / "a.png")
    sheet.show(preview(1, 1, (8, 8), (1, 2, 3)))
    assert sheet.line == ""
