"""The picture of a running edit that users open."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from tests.bridge.conftest import BridgeProcess

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


def test_it_goes_with_its_edit(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    sheet = PreviewSheet(path)
    sheet.show(preview(1, 1, (8, 8), (1, 2, 3)))
    sheet.close()
    assert (sheet.line, path.exists()) == ("", False)


def test_none_is_left_by_an_edit_that_ends_while_it_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for delay in np.linspace(0, 0.004, 40):
        sheet = PreviewSheet(path)

        def draw(sheet: PreviewSheet = sheet) -> None:
            for done in range(1, 20):
                sheet.show(preview(1, done, (64, 64), (1, 2, 3)))

        thread = threading.Thread(target=draw)
        thread.start()
        time.sleep(delay)
        sheet.close()
        thread.join()
        assert (sheet.line, path.exists()) == ("", False)


def test_a_bridge_begins_without_those_of_one_that_was_killed(make_bridge: Callable[[], BridgeProcess]) -> None:
    place = make_bridge()
    place.start()
    (edits,) = (place.cache / "edits").iterdir()
    left, others = (place.cache / "previews" / name / "0-1.png" for name in (edits.name, "another session"))
    for path in (left, others):
        path.parent.mkdir(parents=True)
        path.touch()
    place.kill()
    place.start()
    assert (left.exists(), others.exists()) == (False, True)


def test_that_it_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sheet = PreviewSheet(tmp_path / "file" / "a.png")
    sheet.show(preview(1, 1, (8, 8), (1, 2, 3)))
    assert sheet.line == ""
