"""From the clip to a view's picture and back into the clip."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.editing.framing.shots import coverages, extents, rule

from mive.editing.framing import Box, Finish, Picture, View, frame_shot, paste_views, to_clip, to_model
from mive.media import inward_feather, paste, to_float
from mive.media.sizes import model_frame, resize_filter
from mive.request import FrameRange

RNG = np.random.default_rng(0)


def view(left: int, top: int, side: int, model: int, *instances: int) -> View:
    return View(
        frames=FrameRange(0, 0), width=side, height=side, corners=((left, top),),
        model_width=model, model_height=model, instances=instances,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_whole_frame_goes_there_and_back_as_it_did_without_views(dtype: type) -> None:
    frame = (RNG.random((90, 160, 3)) * (1 if dtype is np.float32 else np.iinfo(dtype).max)).astype(dtype)
    boxes = {1: [Box(10, 10, 60, 60)], 2: [Box(60, 20, 100, 80)]}
    (whole,) = frame_shot(extents(boxes, 160, 90), rule(framing="whole")).views
    picture = to_model(frame, whole, 0)
    assert np.array_equal(picture, model_frame(np.clip(to_float(frame), 0, 1), rule().whole_size(160, 90)))
    decoded = 1 - picture
    (mattes,) = coverages(boxes, 160, 90)
    mattes *= RNG.random(mattes.shape, np.float32)
    for feather in (0.0, 3.0):
        coverage = np.clip(mattes.sum(0), 0, 1)
        alpha = inward_feather(coverage, feather) if feather else coverage
        expected = paste(frame, model_frame(decoded, (90, 160)), alpha)
        assert np.array_equal(
            paste_views(frame, [Picture(whole, decoded)], mattes, (1, 2), 0, Finish(feather=feather)), expected
        )


def test_a_box_of_the_models_size_is_exact_both_ways() -> None:
    frame = RNG.integers(0, 256, (100, 100, 3), np.uint8)
    cut = view(20, 30, 64, 64, 1)
    picture = to_model(frame, cut, 0)
    assert np.array_equal(picture, to_float(frame[30:94, 20:84]))
    assert np.array_equal(to_clip(picture, cut), picture)
    everywhere = np.ones((1, 100, 100), np.float32)
    assert np.array_equal(paste_views(frame, [Picture(cut, picture)], everywhere, (1,), 0), frame)


@pytest.mark.parametrize(
    ("size", "target", "chosen"), [((9, 9), (9, 9), "none"), ((9, 9), (8, 10), "area"), ((9, 9), (9, 10), "cubic")]
)
def test_the_filter(size: tuple[int, int], target: tuple[int, int], chosen: str) -> None:
    assert resize_filter(size, target) == chosen


@given(st.integers(32, 96), st.sampled_from([32, 64, 192]))
def test_a_gradient_stays_in_its_place(side: int, model: int) -> None:
    """There and back shifts nothing: pixel centres meet, whatever the filter."""
    ramp = np.broadcast_to(np.linspace(0, 1, 200, dtype=np.float32)[None, :, None], (150, 200, 3))
    cut = view(50, 20, side, model, 1)
    back = to_clip(to_model(ramp, cut, 0), cut)
    inner = slice(side // 4, -side // 4)
    assert np.abs(back - ramp[cut.box(0).slices])[:, inner].max() < 2e-3


def test_views_are_pasted_by_their_mattes_and_in_any_order() -> None:
    """Where soft mattes meet each has its share, which what lies on top took before."""
    source = np.full((40, 60, 3), 100, np.uint8)
    mattes = np.zeros((2, 40, 60), np.float32)
    mattes[0, 10:30, 10:30] = 1
    mattes[0, 10:30, 25:30] = 0.25
    mattes[1, 10:30, 25:45] = 0.75
    bright, dark = np.ones((32, 32, 3), np.float32), np.zeros((32, 32, 3), np.float32)
    edits = [Picture(view(5, 5, 32, 32, 7), bright), Picture(view(20, 5, 32, 32, 9), dark)]
    frame = paste_views(source, edits, mattes, (7, 9), 0)
    assert np.array_equal(frame, paste_views(source, edits[::-1], mattes, (7, 9), 0))
    assert [int(frame[20, x, 0]) for x in (9, 15, 27, 40, 50)] == [100, 255, 64, 25, 100]
    outside = mattes.sum(0) == 0
    assert np.array_equal(frame[outside], source[outside])


def test_detail_and_grain_reach_only_what_is_pasted_and_repeat() -> None:
    plate = np.clip(RNG.normal(120, 6, (120, 160, 3)), 0, 255).astype(np.uint8)
    boxes = {1: [Box(20, 20, 90, 100)]}
    (whole,) = frame_shot(extents(boxes, 160, 120), rule(framing="whole", model_size=64)).views
    (mattes,) = coverages(boxes, 160, 120)
    flat = np.full((*whole.model_size, 3), 0.5, np.float32)

    def pasted(**finish: float) -> np.ndarray:  # type: ignore[type-arg]
        return paste_views(plate, [Picture(whole, flat)], mattes, (1,), 0, Finish(**finish))  # type: ignore[arg-type]

    plain, grained = pasted(), pasted(grain=1.0)
    inside = mattes[0] > 0
    assert plain[inside].std() == 0
    assert grained[inside].std() == pytest.approx(6, rel=0.1)
    assert np.array_equal(grained, pasted(grain=1.0))
    assert not np.array_equal(grained, pasted(grain=1.0, seed=1))
    # A plate of noise explains nothing of a flat edit.
    assert np.abs(pasted(detail=1.0)[inside].astype(int) - 128).max() <= 2
    for frame in (plain, grained, pasted(detail=1.0)):
        assert np.array_equal(frame[~inside], plate[~inside])
