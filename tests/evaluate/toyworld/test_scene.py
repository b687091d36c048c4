"""The toy world keeps its promises: exact mattes, depth and flow, and the same scene for the same seed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mive.evaluate.toyworld import COLOURS, PATTERNS, SHAPES, WORDS, Renderer, Scene, describe, random_scene, repainted
from mive.evaluate.toyworld.scene import Thing


def one_thing(shape: str, colour: str = "red", pattern: str = "plain", radius: float = 30) -> Scene:
    thing = Thing(
        shape, colour, pattern, (64, 64), radius, 0.1, (2.0, -1.0), 0.03, 0.01, 0.5, 0.4, (0, 0, 0), 2.0
    )  # fmt: skip
    return Scene((128, 128), "paper", 3, 0.3, (0.5, 0.2), (0.2, 0.5, 1.0), 0.5, (thing,))


def test_a_seed_is_a_scene() -> None:
    first, again, other = random_scene(5), random_scene(5), random_scene(6)
    assert first == again != other
    assert np.array_equal(Renderer(first).frame(2).image, Renderer(again).frame(2).image)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_seen_whole_and_nearer_than_the_ground(shape: str) -> None:
    frame = Renderer(one_thing(shape)).frame(0)
    inside = frame.ids == 1
    assert 500 < inside.sum() < np.pi * 30**2
    assert frame.depth[inside].mean() > frame.depth[~inside].max() * 0.9


@pytest.mark.parametrize("shape", ["ball", "cube", "star", "cup"])
def test_flow_carries_a_thing_into_the_next_frame(shape: str) -> None:
    """Warping the next frame back along the flow gives this frame, away from edges and from what the light changes."""
    renderer = Renderer(one_thing(shape))
    here, there = renderer.frame(0), renderer.frame(1)
    rows, columns = np.mgrid[0:128, 0:128].astype(np.float32)
    back = cv2.remap(there.image, columns + here.flow[0], rows + here.flow[1], cv2.INTER_LINEAR)
    core = cv2.erode((here.ids == 1).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    moved = np.abs(back.astype(int) - here.image)[core].mean()
    still = np.abs(there.image.astype(int) - here.image)[core].mean()
    assert moved < 6
    assert moved < still or still < 3


def test_flow_moves_the_matte() -> None:
    renderer = Renderer(one_thing("ball"))
    here, there = renderer.frame(0), renderer.frame(1)
    inside = here.ids == 1
    rows, columns = np.nonzero(inside)
    dx, dy = here.flow[0][inside], here.flow[1][inside]
    target = there.ids[
        np.clip(np.rint(rows + dy), 0, 127).astype(int), np.clip(np.rint(columns + dx), 0, 127).astype(int)
    ]
    assert (target == 1).mean() > 0.98


@pytest.mark.parametrize("colour", COLOURS)
def test_a_colour_word_is_the_nearest_colour(colour: str) -> None:
    frame = Renderer(one_thing("ball", colour)).frame(0)
    mean = np.percentile(frame.image[frame.ids == 1], 60, axis=0) / 255
    distance = {name: np.abs(mean - np.array(value)).sum() for name, value in COLOURS.items()}
    assert min(distance, key=lambda name: distance[name]) == colour


def test_later_things_lie_on_top() -> None:
    scene = one_thing("ball")
    pair = Scene(**{**scene.__dict__, "things": (scene.things[0], scene.things[0])})
    assert set(np.unique(Renderer(pair).frame(0).ids)) == {0, 2}


def test_repainting_changes_only_that_thing() -> None:
    scene = random_scene(11, count=(3, 3), spacing=1.1)
    before = Renderer(scene).frame(0)
    after = Renderer(repainted(scene, 1, colour="cyan", pattern="dotted")).frame(0)
    changed = (before.image != after.image).any(-1)
    assert changed.any()
    assert np.array_equal(before.ids, after.ids)
    assert not changed[cv2.dilate((before.ids == 2).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0].any()


def test_every_caption_is_made_of_known_words() -> None:
    for colour in COLOURS:
        for pattern in PATTERNS:
            assert set(describe(colour, pattern, "ring").split()) <= set(WORDS)
