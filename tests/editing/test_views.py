"""A view as an edit of its own, and how the edits of views become frames."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.editing.framing.shots import Boxes, coverages, extents, rule, shots

from mive.editing.framing import Box, Framing, View, frame_shot
from mive.editing.views import Layer, Place, ViewPart, layers, view_guidance
from mive.media import Mattes
from mive.request import EditRequest, FrameRange, Instance, Settings

SETTINGS = Settings(preset="draft", model_size=64).resolved({"close_guidance": 8.0, "guidance": 14.0})


def view(*instances: int, scale: float = 2.0, frames: FrameRange = FrameRange(0, 1)) -> View:  # noqa: B008
    side = round(64 / scale)
    return View(
        frames=frames, width=side, height=side, corners=((4, 6),), model_width=64, model_height=64, instances=instances
    )


def slice_at(left: int) -> Box:
    return Box(left, 20, left + 12, 34)


def moving(frames: int) -> Boxes:
    """To and fro, so that two windows do not agree on its smoothed way."""
    return {1: [slice_at(20 + 10 * index + 90 * (index % 2)) for index in range(frames)]}


def made(framing: Framing) -> dict[int, list[Layer]]:
    """The layers of each final frame, by its index in the clip; latents hold the number of their window."""
    found: dict[int, list[Layer]] = {}
    before: list[Layer] = []
    for number, framed in enumerate(framing.windows()):
        latents = ((v, torch.full((len(framed.frames), 1, 1, 1), float(number))) for v in framed.views)
        now = layers(framed, before, latents)
        for offset, index in enumerate(framed.final.indices()):
            parts = [layer.after(offset) for layer in now]
            found[index] = [part for part in parts if part.weights]
        before = [left for layer in now if (left := layer.after(framed.window.final)).weights]
    return found


@given(shots(), st.sampled_from([(4, 1), (4, 3), (3, 0), (5, 4)]), st.sampled_from(["close", "whole"]))
def test_every_matte_is_made_once_in_every_frame(
    shot: tuple[Boxes, int, int], windows: tuple[int, int], framing: str
) -> None:
    """What is pasted of an instance adds up to one edit, from views that hold all of its matte."""
    boxes, width, height = shot
    found = extents(boxes, width, height)
    by_frame = made(frame_shot(found, rule(window=windows[0], overlap=windows[1], framing=framing)))
    assert sorted(by_frame) == list(found.frames.indices())
    for index, parts in by_frame.items():
        for m, identity in enumerate(found.ids):
            if not found.pixels[index, m]:
                continue
            mine = [part for part in parts if identity in part.view.instances]
            assert sum(part.weights[0] for part in mine) == pytest.approx(1)
            left, top, right, bottom = found.boxes[index, m]
            for box in (part.view.box(index) for part in mine):
                assert max(box.left - left, box.top - top, right - box.right, bottom - box.bottom) <= 0


@given(st.integers(5, 12), st.sampled_from([(4, 1), (4, 3), (5, 2)]))
def test_an_edit_moves_from_window_to_window_without_a_jump(frames: int, windows: tuple[int, int]) -> None:
    """Also where the last window reaches back over several: no frame's share falls by more than a step."""
    window, overlap = windows
    track = extents(moving(frames), 400, 60)
    by_frame = made(frame_shot(track, rule(window=window, overlap=overlap)))
    means = [sum(float(p.z[0]) * p.weights[0] for p in by_frame[index]) for index in range(frames)]
    whole = made(frame_shot(track, rule(window=window, overlap=overlap, framing="whole")))
    assert means == pytest.approx([float(whole[index][0].z[0]) for index in range(frames)])
    assert all(b >= a - 1e-6 for a, b in pairwise(means))


def test_whole_frames_are_faded_as_latents_and_moving_views_as_pictures() -> None:
    still = {1: [slice_at(40)] * 6}
    for boxes, framing, count in ((still, "whole", 1), (still, "close", 1), (moving(6), "close", 2)):
        parts = made(frame_shot(extents(boxes, 400, 60), rule(window=4, overlap=2, framing=framing)))[3]
        assert len(parts) == count
        assert sum(float(part.z[0]) * part.weights[0] for part in parts) == pytest.approx(2 / 3)


def part(settings: object = SETTINGS, **changes: object) -> ViewPart:
    boxes = {7: [slice_at(10)] * 2, 3: [slice_at(16)] * 2, 5: [slice_at(60)] * 2}
    planes = list(coverages(boxes, 90, 60))
    mattes = Mattes(tuple(boxes), [lambda index, m=m: planes[index][m].copy() for m in range(3)], FrameRange(0, 1), [])
    own = {"guidance": 3.0}
    instances = (
        Instance(id=7, caption="a cube"), Instance(id=3, caption="a ball", **own), Instance(id=5, caption="a cone")
    )  # fmt: skip
    request = EditRequest(clip="c", mattes="m", instances=instances, global_caption="all of it")
    seen = view(3, 7, **changes)  # type: ignore[arg-type]
    return ViewPart(request, settings, seen, mattes)  # type: ignore[arg-type]


def test_a_view_is_an_edit_of_its_own_instances_in_the_order_of_the_request() -> None:
    found = part()
    assert found.places == (0, 1)
    assert [(i.id, i.guidance) for i in found.request.instances] == [(7, 8.0), (3, 3.0)]
    plane = next(found.planes())
    assert plane.shape == (2, 32, 32)
    # The box begins at 4, 6; the ball lies over the cube from 16 on.
    assert plane[:, 20].tolist() == [[0] * 6 + [1] * 6 + [0] * 20, [0] * 12 + [1] * 12 + [0] * 8]
    assert plane.sum((1, 2)).tolist() == [6 * 14, 12 * 14]


def test_one_caption_for_all_edits_the_frame_as_a_whole() -> None:
    whole = part(SETTINGS.model_copy(update={"caption_mode": "global"}))
    assert all(plane.shape == (1, 32, 32) and plane.all() for plane in whole.planes())


@pytest.mark.parametrize(
    ("instances", "scale", "guidance"),
    [((1,), 2.0, 8.0), ((1, 2, 3), 1.0, 8.0), ((1, 2, 3, 4), 2.0, None), ((1,), 4.0, None), ((1,), 0.5, 8.0)],
    ids=["one", "three", "a crowd", "few pixels of its own", "made smaller"],
)
def test_weak_guidance_is_for_few_things_that_are_seen_well(
    instances: tuple[int, ...], scale: float, guidance: float | None
) -> None:
    assert view_guidance(SETTINGS, view(*instances, scale=scale)) == guidance
    for other in ({"close_guidance": None}, {"framing": "whole"}):
        assert view_guidance(SETTINGS.model_copy(update=other), view(*instances, scale=scale)) is None


def test_whoever_asks_for_a_guidance_gets_it_in_close_views_too() -> None:
    bundle = {"guidance": 14.0, "close_guidance": 8.0, "model_size": 64}
    assert Settings().resolved(bundle).close_guidance == 8
    assert Settings(guidance=5.0).resolved(bundle).close_guidance is None
    assert Settings(guidance=5.0, close_guidance=4.0).resolved(bundle).close_guidance == 4
    assert Settings(preset="paper").resolved(bundle).close_guidance is None


def test_the_steps_of_a_view_count_over_all_views() -> None:
    told = []
    Place(2, 3, 4, 6).teller(told.append)("sampling", 5, 10)
    (progress,) = told
    assert (progress.done, progress.total) == (35, 60)
    assert (progress.window, progress.windows, progress.view, progress.views) == (2, 3, 4, 6)
