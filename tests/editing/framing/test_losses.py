"""What is not edited is said, and what is said is so."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.editing.framing.shots import Boxes, coverages, extents, rule

from mive.editing.framing import Box, Loss, find_losses, frame_shot
from mive.networks.masks import resize_masks


def losses(boxes: Boxes, width: int, height: int, **changes: object) -> tuple[Loss, ...]:
    where = extents(boxes, width, height, first=10)
    return find_losses(frame_shot(where, rule(**changes)), where)


def test_all_is_well() -> None:
    assert losses({1: [Box(10, 10, 60, 60)] * 3, 2: [Box(100, 40, 150, 90)] * 3}, 320, 180) == ()


def test_a_hidden_instance() -> None:
    cup = [Box(10, 10, 60, 60)] * 3
    covered: Boxes = {1: [Box(20, 20, 30, 30)] * 2 + [Box(70, 10, 90, 40)], 2: cup}
    (loss,) = losses(covered, 320, 180)
    assert loss.sentence == "instance 1 is hidden in 2 of 3 frames: not edited there"
    assert loss.frames == (10, 11)


def test_a_small_instance() -> None:
    """Three pixels at a scale of 4 are 48, of the 64 of a cell of latents; five are more than a cell."""
    track = [Box(50, 50, 53, 51), Box(50, 50, 53, 51), Box(50, 50, 55, 51)]
    (loss,) = losses({4: track}, 320, 180)
    assert loss.sentence == (
        "instance 4 is 3 pixels in 2 of 3 frames: less than a cell of the model's grid, hardly edited there"
    )
    (loss,) = losses({4: [Box(0, 0, 1, 1)]}, 64, 64)
    assert loss.sentence.startswith("instance 4 is 1 pixel in 1 of 1 frame:")


def test_a_view_mends_what_was_small_in_the_whole_frame() -> None:
    boxes: Boxes = {1: [Box(500, 500, 510, 510)]}
    assert [loss.kind for loss in losses(boxes, 1920, 1080, framing="whole")] == ["small"]
    assert losses(boxes, 1920, 1080) == ()


def test_more_instances_than_cells() -> None:
    """Of three that fit into two cells one is lost; who has a cell to itself is not."""
    boxes: Boxes = {
        1: [Box(0, 0, 40, 20)], 2: [Box(40, 0, 80, 20)], 5: [Box(10, 20, 70, 40)], 8: [Box(400, 400, 440, 440)]
    }  # fmt: skip
    crowds = [loss for loss in losses(boxes, 960, 960, framing="whole") if loss.kind == "crowded"]
    assert [loss.instances for loss in crowds] == [(1, 2, 5)]
    assert crowds[0].sentence == (
        "instances 1, 2, 5 share too few cells of the model's grid in 1 of 1 frame: not all of them are edited there"
    )


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 9)), min_size=2, max_size=12))
def test_a_crowd_loses_someone_and_nobody_else_is_said_to(places: list[tuple[int, int, int]]) -> None:
    boxes = {1 + place: [Box(x, y, min(x + s, 32), min(y + s, 32))] for place, (x, y, s) in enumerate(places)}
    found = losses(boxes, 32, 32, framing="whole", model_size=32)
    (coverage,) = coverages(boxes, 32, 32)
    cells = resize_masks(torch.from_numpy(coverage)[:, None], (4, 4))
    edited = {identity for m, identity in enumerate(boxes) if cells[m].any()}
    there = {identity for m, identity in enumerate(boxes) if np.any(coverage[m])}
    for loss in found:
        if loss.kind == "crowded":
            assert set(loss.instances) <= there
            assert not set(loss.instances) <= edited


def test_losses_are_values() -> None:
    (loss,) = losses({4: [Box(50, 50, 53, 51)]}, 320, 180)
    assert Loss.from_json(loss.to_json()) == loss
