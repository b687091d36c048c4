"""The toy suite: clips of the procedural world, built as the paper's data set is, with exact mattes and captions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from mive.base.atomic import write_text
from mive.errors import OutputError, RequestError
from mive.evaluate.bench.suite import CLIP_FILE, SUITE_FILE, ClipDescription, SuiteDescription, SuiteInstance
from mive.evaluate.bench.tables import GROUPS
from mive.evaluate.toyworld import (
    COLOURS,
    PATTERNS,
    Renderer,
    Scene,
    describe,
    edited_scene,
    enlarged,
    random_scene,
    sentence,
)
from mive.evaluate.toyworld.clip import write_clip, write_pictures
from mive.evaluate.training.rendering import HELD_OUT_SEEDS, SIZE
from mive.request import FrameRange

CLIPS: Final = 200
FRAMES: Final = FrameRange(12, 12)
"""How many frames a clip has; the paper's have 12 to 46."""

_GROUP_SHARES: Final = (0.58, 0.33, 0.09)
"""Of clips with 1–3, 4–7 and more edited instances, as in the paper's Table 6 (116, 66 and 18 of 200)."""

_MOST_THINGS: Final = 12
_FEWEST_THINGS: Final = 3
_MOST_EDITED: Final = 9
_LEAST_PIXELS: Final = 40
"""What must be seen of every thing in every frame."""

_LEAST_RADIUS: Final = 12
"""Pixels of the smallest things of suites that are larger than the model."""

_TRIES: Final = 1000


def parse_frames(text: str) -> FrameRange:
    """How many frames: "12", or the least and the most, "12-46".

    Raises:
        RequestError: it is neither, or less than one.
    """
    try:
        span = FrameRange.parse(text)
    except RequestError as error:
        raise RequestError(
            f'"{text}" is no number of frames', expected='"12", or "12-46"', fix=error.fix, field="frames"
        ) from error
    if span.first < 1:
        raise RequestError("a clip has at least one frame", expected="1 or more", fix="Write 12", field="frames")
    return span


def make_toy(
    folder: Path, clips: int = CLIPS, seed: int = 0, frames: FrameRange = FRAMES, size: int = SIZE
) -> Iterator[str]:
    """Write a suite of square 192 px clips, or of larger ones of 16:9; the same numbers give the same suite, always.

    As in the paper's data set, each clip has 3 to 12 things that stay in view, of which 1 to 9 are edited. Each
    of these is to get another colour and a pattern; within a clip, all these colours differ. Every scene is of a
    seed that no part of the tiny bundle was trained on.

    Args:
        folder: is made; it holds no suite yet.
        clips: how many.
        seed: another gives other clips.
        frames: the least and the most frames of a clip.
        size: pixels of the short side, 192 or more. In larger clips things are from 24 pixels to half the frame tall.

    Yields:
        each clip's name once it is written; the suite can be read after the last.

    Raises:
        OutputError: there is a suite already, or it cannot be written.
    """
    if (folder / SUITE_FILE).exists():
        raise OutputError(
            f"there is a suite in {folder} already", expected="a new folder", fix="Choose another, or remove this one"
        )
    for number in range(clips):
        rng = np.random.default_rng([HELD_OUT_SEEDS, seed, number])
        length = int(rng.integers(frames.first, frames.last + 1))
        edited = _edited_count(rng)
        scene = _scene(rng, edited, length, size)
        name = f"{number:04d}"
        looks = _new_looks(rng, scene, edited)
        about = _described(scene, looks)
        assert about.ideal is not None
        write_clip(scene, folder / name, length).captions.unlink()
        write_pictures(edited_scene(scene, looks), folder / name / about.ideal, length)
        write_text(folder / name / CLIP_FILE, about.to_json())
        yield name
    told = str(frames.first) if frames.first == frames.last else str(frames)
    suite = SuiteDescription(
        name=f"toy world, {clips} clips",
        description=f"Shaded solids on textured grounds, {size} px, {told} frames, seed {seed}.",
    )
    write_text(folder / SUITE_FILE, suite.to_json())


def _edited_count(rng: np.random.Generator) -> int:
    """How many things of a clip are edited, 1 to 9."""
    group = list(GROUPS.values())[int(rng.choice(len(GROUPS), p=_GROUP_SHARES))]
    return int(rng.integers(group.start, min(group.stop, _MOST_EDITED + 1)))


def _scene(rng: np.random.Generator, edited: int, length: int, size: int) -> Scene:
    """A scene with at least as many things as are edited, all of them in view in every frame."""
    things = int(rng.integers(max(_FEWEST_THINGS, edited), _MOST_THINGS + 1))
    # Many things only fit where the largest of them is smaller.
    scale, frame = (0.04, 0.08 + 0.7 / things**0.5), (SIZE, SIZE)
    if size != SIZE:
        # Tried out small.
        scale, frame = (_LEAST_RADIUS / size, min(0.25, scale[1])), (SIZE, round(SIZE * 16 / 9))
    for _ in range(_TRIES):
        seed = HELD_OUT_SEEDS + int(rng.integers(2**40))
        scene = random_scene(seed, frame, (things, things), scale, spacing=0.95)
        slowed = _slowed(scene, FRAMES.last / max(length, FRAMES.last))
        if len(scene.things) == things and _all_in_view(slowed, length, _LEAST_PIXELS * (SIZE / size) ** 2):
            return slowed if size == SIZE else enlarged(slowed, (size, round(size * 8 / 9) * 2))
    raise AssertionError(f"no scene of {things} things in {_TRIES} tries")


def _slowed(scene: Scene, factor: float) -> Scene:
    """The same scene with slower things, so that they stay in view for longer."""
    things = tuple(
        replace(
            thing,
            velocity=(thing.velocity[0] * factor, thing.velocity[1] * factor),
            spin=thing.spin * factor,
            growth=thing.growth * factor,
        )
        for thing in scene.things
    )
    return replace(scene, things=things)


def _all_in_view(scene: Scene, length: int, least: float) -> bool:
    renderer = Renderer(scene)
    # The ends are where things leave or get covered: most scenes that fail do so there.
    for number in dict.fromkeys((length - 1, 0, *range(length))):
        ids = renderer.frame(number).ids
        if np.bincount(ids.ravel(), minlength=len(scene.things) + 1)[1:].min() < least:
            return False
    return True


def _new_looks(rng: np.random.Generator, scene: Scene, edited: int) -> dict[int, tuple[str, str]]:
    """The colour and pattern that some things are to get, by place."""
    chosen = sorted(int(place) for place in rng.permutation(len(scene.things))[:edited])
    colours = _new_colours(rng, [scene.things[place].colour for place in chosen])
    patterns = [str(pattern) for pattern in rng.choice(PATTERNS, edited)]
    return dict(zip(chosen, zip(colours, patterns, strict=True), strict=True))


def _described(scene: Scene, looks: Mapping[int, tuple[str, str]]) -> ClipDescription:
    instances = tuple(
        SuiteInstance(
            id=place + 1,
            source_caption=thing.caption,
            # The shape stays: an edit is held to the source's depth.
            caption=describe(*looks[place], thing.shape) if place in looks else "",
            class_name=thing.shape,
        )
        for place, thing in enumerate(scene.things)
    )
    tagged = sentence([f"<{one.id}>{one.source_caption}</{one.id}>" for one in instances], scene.ground)
    return ClipDescription(
        source="source.mkv", mattes="mattes", ideal="ideal.mkv", global_caption=tagged, instances=instances
    )


def _new_colours(rng: np.random.Generator, before: list[str]) -> list[str]:
    """A different colour for each thing, none the one it has."""
    while True:
        colours = [str(colour) for colour in rng.permutation(list(COLOURS))[: len(before)]]
        if all(new != old for new, old in zip(colours, before, strict=True)):
            return colours
