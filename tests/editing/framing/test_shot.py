"""Views hold their mattes, fit the frame and the model, and are the same every time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.editing.framing.shots import Boxes, coverages, extents, rule, rules, shots

from mive.editing.framing import Box, Framing, FramingRule, frame_shot, measure
from mive.editing.framing.extents import extents_of
from mive.editing.windows import make_windows
from mive.errors import RequestError
from mive.media import open_clip, open_mattes
from mive.media.sizes import model_size
from mive.request import FrameRange, Instance


def square(x: int, y: int, side: int = 10) -> Box:
    return Box(x, y, x + side, y + side)


@given(shots(), rules)
def test_every_pixel_of_a_matte_lies_in_the_one_view_of_its_instance(
    shot: tuple[Boxes, int, int], chosen: FramingRule
) -> None:
    where = extents(*shot)
    framing = frame_shot(where, chosen)
    for window in make_windows(len(where.boxes), chosen.window, chosen.overlap):
        views = [view for view in framing.views if view.frames.first == window.first]
        part = slice(window.first, window.first + window.length)
        seen = [identity for m, identity in enumerate(where.ids) if where.pixels[part, m].any()]
        assert sorted(identity for view in views for identity in view.instances) == seen
        for view in views:
            assert len(view.frames) == window.length
            for index in view.frames.indices():
                box = view.box(index)
                for identity in view.instances:
                    left, top, right, bottom = where.boxes[index, where.ids.index(identity)]
                    assert right == 0 or (box.left <= left and box.top <= top)
                    assert right <= box.right
                    assert bottom <= box.bottom


@given(shots(), rules)
def test_boxes_lie_in_the_frame_and_scales_between_their_bounds(
    shot: tuple[Boxes, int, int], chosen: FramingRule
) -> None:
    _, width, height = shot
    framing = frame_shot(extents(*shot), chosen)
    whole = chosen.whole_size(width, height)
    for view in framing.views:
        for index in view.frames.indices():
            box = view.box(index)
            assert 0 <= box.left < box.right <= width
            assert 0 <= box.top < box.bottom <= height
        assert view.model_width % chosen.multiple == view.model_height % chosen.multiple == 0
        if framing.is_whole(view):
            assert view.model_size == whole
            continue
        # Less than a square of the multiple there is not.
        assert view.model_width * view.model_height <= max(chosen.model_size, chosen.multiple) ** 2
        assert max(whole[0] / height, whole[1] / width) <= view.scale <= chosen.closest
        assert view.width * view.height <= width * height / 2


@given(shots(), rules, st.randoms(use_true_random=False))
def test_the_order_of_instances_changes_nothing(shot: tuple[Boxes, int, int], chosen: FramingRule, random) -> None:
    boxes, width, height = shot
    frames = list(coverages(boxes, width, height))
    places = list(range(len(boxes)))
    random.shuffle(places)
    ids = list(boxes)
    turned = extents_of([frame[places] for frame in frames], [ids[place] for place in places])
    one, other = frame_shot(extents(*shot), chosen), frame_shot(turned, chosen)
    assert one == other
    assert (hash(one), one.digest()) == (hash(other), other.digest())
    assert Framing.from_json(one.to_json()) == one


@given(shots(), rules)
def test_whole_frames_are_framed_as_ever(shot: tuple[Boxes, int, int], chosen: FramingRule) -> None:
    boxes, width, height = shot
    chosen = chosen.model_copy(update={"framing": "whole"})
    framing = frame_shot(extents(*shot), chosen)
    windows = make_windows(framing.frames.last + 1, chosen.window, chosen.overlap)
    assert [(view.frames.first, len(view.frames)) for view in framing.views] == [(w.first, w.length) for w in windows]
    for view in framing.views:
        assert view.box(view.frames.first) == (0, 0, width, height)
        assert view.model_size == model_size(width, height, chosen.model_size, chosen.multiple)
        assert view.instances == tuple(boxes)


def test_a_framing_does_not_depend_on_the_process() -> None:
    """A digest in a checkpoint or a cache means the same tomorrow and elsewhere."""
    framing = frame_shot(extents({7: [square(50, 40)], 3: [square(60, 50)]}, 200, 100, first=5), rule())
    assert framing.digest() == "c2438b76226dad2a1efbf3979f7c93de4364ec687befa6fbe61f769e34b33af8"


def test_a_framing_needs_no_torch() -> None:
    code = "import sys, mive.editing.framing; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "False\n"


def test_a_small_thing_is_seen_as_closely_as_is_allowed_with_more_around_it() -> None:
    (view,) = frame_shot(extents({1: [square(900, 500)]}, 1920, 1080), rule()).views
    assert (view.width, view.height, view.model_size, view.scale) == (48, 48, (192, 192), 4)
    assert view.box(0) == (881, 481, 929, 529)


def test_a_larger_thing_is_seen_with_its_context() -> None:
    (view,) = frame_shot(extents({1: [square(900, 500, 100)]}, 1920, 1080), rule()).views
    assert view.box(0) == (840, 440, 1060, 660)
    assert view.model_size == (192, 192)


def test_a_long_thing_has_a_long_picture_of_the_same_area() -> None:
    (view,) = frame_shot(extents({1: [Box(400, 300, 800, 400)]}, 1920, 1080), rule()).views
    assert view.model_size == (96, 384)
    assert (view.width, view.height) == (880, 220)


@pytest.mark.parametrize("corner", [(0, 0), (1910, 0), (0, 1070), (1910, 1070)], ids=str)
def test_at_the_edge_a_box_is_shifted_before_it_shrinks(corner: tuple[int, int]) -> None:
    (view,) = frame_shot(extents({1: [square(*corner)]}, 1920, 1080), rule()).views
    assert (view.width, view.height) == (48, 48)


@pytest.mark.parametrize("size", [(1, 1), (3840, 2160), (4096, 100), (17, 4001)], ids=str)
def test_mattes_of_whole_frames_and_of_one_pixel_in_frames_of_any_shape(size: tuple[int, int]) -> None:
    width, height = size
    for box in (Box(0, 0, width, height), Box(width - 1, height - 1, width, height)):
        framing = frame_shot(extents({1: [box]}, width, height), rule())
        (view,) = framing.views
        assert framing.is_whole(view) == (view.model_size == rule().whole_size(width, height))
        assert view.box(0).right == width


def test_a_fast_thing_is_followed_by_whole_pixels_and_a_slow_one_is_not() -> None:
    fast = {1: [square(40 * t, 3 * t, 20) for t in range(4)]}
    (view,) = frame_shot(extents(fast, 640, 360), rule()).views
    assert not view.still
    slow = {1: [square(300 + 2 * t, 100, 20) for t in range(4)]}
    (view,) = frame_shot(extents(slow, 640, 360), rule()).views
    assert view.still


def test_a_steady_thing_stays_in_the_middle_of_its_boxes() -> None:
    boxes = {1: [square(100 + 50 * t, 50 + 20 * t, 40) for t in range(8)]}
    (view,) = frame_shot(extents(boxes, 1280, 720), rule(window=8)).views
    middles = [np.add(box[:2], box[2:]) / 2 for box in map(view.box, range(8))]
    assert np.abs(np.diff(middles, axis=0) - (50, 20)).max() <= 1
    assert np.abs(middles[0] - (120, 70)).max() <= 1


@given(shots(), rules)
def test_half_of_the_context_is_always_there(shot: tuple[Boxes, int, int], chosen: FramingRule) -> None:
    where = extents(*shot)
    for view in frame_shot(where, chosen).views:
        for identity in view.instances:
            m = where.ids.index(identity)
            mattes = where.boxes[view.frames.first : view.frames.last + 1, m]
            largest = (mattes[:, 2:] - mattes[:, :2]).max(axis=0)
            room = np.floor(largest * (chosen.context - 1) / 4)
            for index, matte in zip(view.frames.indices(), mattes, strict=True):
                box, limit = view.box(index), (where.width, where.height)
                for axis in (0, 1):
                    wide = largest[axis] * chosen.context <= limit[axis]
                    if matte[2] and wide:
                        assert box[axis] <= max(matte[axis] - room[axis], 0)
                        assert box[axis + 2] >= min(matte[axis + 2] + room[axis], limit[axis])


def test_an_absent_instance_keeps_its_box_and_one_never_seen_has_none() -> None:
    boxes: Boxes = {1: [square(40, 40), None, None, square(280, 40)], 2: [None] * 4}
    (view,) = frame_shot(extents(boxes, 640, 360), rule()).views
    assert view.instances == (1,)
    lefts = [view.box(index).left for index in range(4)]
    assert lefts == sorted(lefts)
    assert lefts[0] < lefts[1] < lefts[3]


def test_a_window_without_instances_has_no_view() -> None:
    boxes: Boxes = {1: [square(40, 40)] * 2 + [None] * 8}
    framing = frame_shot(extents(boxes, 640, 360, first=100), rule())
    assert [(view.frames.first, view.frames.last) for view in framing.views] == [(100, 103)]


def test_things_that_touch_share_a_view_and_things_apart_do_not() -> None:
    apart = frame_shot(extents({1: [square(100, 100)], 2: [square(300, 100)]}, 640, 360), rule())
    assert [view.instances for view in apart.views] == [(1,), (2,)]
    chain = {1: [square(100, 100, 40)], 2: [square(140, 140, 40)], 3: [square(180, 180, 40)], 4: [square(500, 20, 40)]}
    touching = frame_shot(extents(chain, 1280, 720), rule())
    assert [view.instances for view in touching.views] == [(1, 2, 3), (4,)]


@pytest.mark.parametrize(("gap", "views"), [(5, 1), (100, 2)])
def test_a_joint_view_where_it_costs_no_more_than_two(gap: int, views: int) -> None:
    boxes = {1: [square(400, 400, 80)], 2: [square(480 + gap, 400, 80)]}
    assert len(frame_shot(extents(boxes, 1920, 1080), rule()).views) == views


def test_views_that_would_be_the_whole_frame_are_one() -> None:
    boxes = {1: [Box(0, 0, 150, 200)], 2: [Box(170, 0, 320, 200)], 3: [Box(155, 220, 160, 225)]}
    framing = frame_shot(extents(boxes, 320, 240), rule())
    assert [view.instances for view in framing.views if framing.is_whole(view)] == [(1, 2)]
    assert [view.instances for view in framing.views if not framing.is_whole(view)] == [(3,)]


def test_a_crowd_of_256() -> None:
    boxes: Boxes = {16 * r + c + 1: [square(20 * c, 20 * r, 4)] * 2 for r in range(16) for c in range(16)}
    framing = frame_shot(extents(boxes, 320, 320), rule(model_size=64))
    assert sorted(identity for view in framing.views for identity in view.instances) == list(boxes)
    assert 16 < len(framing.views) < 256


def test_a_uhd_shot() -> None:
    boxes: Boxes = {1: [square(3000, 1500, 200)] * 2, 2: [square(100, 100, 400)] * 2}
    framing = frame_shot(extents(boxes, 3840, 2160), rule(model_size=512, multiple=64))
    assert [view.model_size for view in framing.views] == [(512, 512)] * 2
    assert [round(view.scale, 2) for view in framing.views] == [1.16, 0.58] == [
        round(512 / 440, 2), round(512 / 880, 2)
    ]  # fmt: skip


@settings(max_examples=25)
@given(st.integers(0, 500), st.integers(0, 200), st.integers(1, 60))
def test_moving_all_mattes_moves_all_views(x: int, y: int, side: int) -> None:
    """Away from the edges, where boxes are shifted."""
    assume(side <= 40)
    here = frame_shot(extents({1: [square(200, 200, side)]}, 1000, 700), rule()).views[0]
    there = frame_shot(extents({1: [square(200 + x, 200 + y, side)]}, 1000, 700), rule()).views[0]
    assert np.subtract(there.box(0), here.box(0)).tolist() == [x, y, x, y]


@pytest.mark.parametrize(
    "wrong",
    [{"context": 0.9}, {"closest": 0}, {"overlap": 4}, {"framing": "near"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_rules_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(RequestError, match=next(iter(wrong))):
        rule(**wrong)


def test_real_footage(shared: Callable[[str], Path]) -> None:
    cups = shared("clips/cups")
    info = open_clip(cups / "cups.mp4").info
    ids = [Instance(id=identity, caption="a cup") for identity in (1, 2, 3, 4)]
    told: list[tuple[int, int]] = []
    mattes = open_mattes(str(cups / "mattes"), ids, info, FrameRange(4, 23))
    where = measure(mattes, lambda done, total: told.append((done, total)))
    framing = frame_shot(where, rule(window=8, overlap=2))
    assert told == [(done, 20) for done in range(1, 21)]
    assert framing.frames == FrameRange(4, 23)
    balls = [view for view in framing.views if view.instances == (2,)]
    assert [view.frames.first for view in balls] == [4, 10, 16]
    assert all(view.scale > 4 * rule().whole_size(1280, 720)[0] / 720 for view in balls)
