"""Scenes of the toy world: a description that a seed draws, and the frames it renders to.

Colour space: sRGB code values. Depth is disparity-like (near is large), 0..1. Flow is exact, in pixels from a frame
to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mive.evaluate.toyworld.captions import describe
from mive.evaluate.toyworld.shapes import SHAPES, Surface, rotation
from mive.evaluate.toyworld.surfaces import COLOURS, GROUNDS, PATTERNS, ground_texture, painted

Array = NDArray[np.float32]
OVERSAMPLE = 2


@dataclass(frozen=True)
class Thing:
    """One object: what it is and how it moves. Positions and sizes in pixels, angles in radians, per frame."""

    shape: str
    colour: str
    pattern: str
    position: tuple[float, float]
    radius: float
    angle: float
    velocity: tuple[float, float]
    spin: float
    growth: float
    yaw: float
    tilt: float
    jitter: tuple[float, float, float]
    pattern_scale: float

    @property
    def caption(self) -> str:
        return describe(self.colour, self.pattern, self.shape)

    def similarity(self, frame: float) -> Array:
        """[2, 3] matrix from local units (y up) to pixel coordinates at a frame."""
        radius = self.radius * (1 + self.growth * frame)
        angle = self.angle + self.spin * frame
        c, s = radius * np.cos(angle), radius * np.sin(angle)
        x = self.position[0] + self.velocity[0] * frame
        y = self.position[1] + self.velocity[1] * frame
        return np.array([[c, -s, x], [-s, -c, y]], np.float32)


@dataclass(frozen=True)
class Scene:
    """A shot: a ground, a light and things from far to near."""

    size: tuple[int, int]
    ground: str
    ground_seed: int
    horizon: float
    pan: tuple[float, float]
    light: tuple[float, float, float]
    ambient: float
    things: tuple[Thing, ...]


@dataclass(frozen=True)
class Frame:
    """One rendered frame.

    Attributes:
        image: [H, W, 3] uint8, sRGB.
        ids: [H, W] uint8, 0 the ground, i the i-th thing of the scene (1-based).
        depth: [H, W] float32 0..1, near is large.
        flow: [2, H, W] float32, (dx, dy) in pixels to the next frame.
    """

    image: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    depth: Array
    flow: Array


def random_thing(rng: np.random.Generator, size: tuple[int, int], scale: tuple[float, float]) -> Thing:
    """A thing with everything drawn at random; ``scale`` bounds its radius as shares of the short side."""
    height, width = size
    radius = float(np.exp(rng.uniform(*np.log(scale)))) * min(size)
    return Thing(
        shape=str(rng.choice(list(SHAPES))),
        colour=str(rng.choice(list(COLOURS))),
        pattern=str(rng.choice(PATTERNS, p=[0.4, 0.2, 0.2, 0.2])),
        position=(
            rng.uniform(radius * 0.7, width - radius * 0.7),
            rng.uniform(radius * 0.7, height - radius * 0.7),
        ),
        radius=radius,
        angle=float(rng.normal(0, 0.15)),
        velocity=(float(rng.normal(0, 0.008)) * width, float(rng.normal(0, 0.006)) * height),
        spin=float(rng.normal(0, 0.015)),
        growth=float(rng.normal(0, 0.006)),
        yaw=float(rng.uniform(-0.9, 0.9)),
        tilt=float(rng.uniform(0.25, 0.6)),
        jitter=tuple(float(v) for v in rng.normal(0, 0.035, 3)),  # type: ignore[arg-type]
        pattern_scale=float(rng.uniform(1.7, 2.6)),
    )


def _apart(thing: Thing, others: list[Thing], share: float) -> bool:
    """Whether a thing leaves the others visible: centres at least ``share`` of the summed radii apart."""
    return all(
        np.hypot(thing.position[0] - other.position[0], thing.position[1] - other.position[1])
        > share * (thing.radius + other.radius)
        for other in others
    )


def random_scene(
    seed: int,
    size: tuple[int, int] = (192, 192),
    count: tuple[int, int] = (1, 5),
    scale: tuple[float, float] = (0.11, 0.25),
    spacing: float = 0.75,
) -> Scene:
    """The scene of a seed.

    Args:
        seed: the same seed gives the same scene, always.
        size: (height, width) in pixels.
        count: least and most things.
        scale: least and most radius, as shares of the short side.
        spacing: how far apart things stand, as a share of their summed radii (below 1 they may overlap).
    """
    rng = np.random.default_rng([seed, 20261])
    things: list[Thing] = []
    wanted = int(rng.integers(count[0], count[1] + 1))
    for _ in range(wanted * 30):
        thing = random_thing(rng, size, scale)
        if _apart(thing, things, spacing):
            things.append(thing)
        if len(things) == wanted:
            break
    things.sort(key=lambda thing: thing.position[1])
    light = rng.normal([0, 0.8, 0], [0.6, 0.3, 0.1])
    return Scene(
        size=size,
        ground=str(rng.choice(GROUNDS)),
        ground_seed=int(rng.integers(2**31)),
        horizon=float(rng.uniform(0, 0.6)),
        pan=(float(rng.normal(0, 0.6)), float(rng.normal(0, 0.3))),
        light=(float(light[0]), float(light[1]), 1.0),
        ambient=float(rng.uniform(0.35, 0.6)),
        things=tuple(things),
    )


def repainted(scene: Scene, index: int, *, colour: str, pattern: str) -> Scene:
    """The same scene with one thing (0-based) in another colour and pattern: the ideal answer to an edit."""
    things = list(scene.things)
    things[index] = replace(things[index], colour=colour, pattern=pattern)
    return replace(scene, things=tuple(things))


def edited_scene(scene: Scene, looks: Mapping[int, tuple[str, str]]) -> Scene:
    """The ideal answer to several edits: the colour and pattern that things get, by place (0-based)."""
    for index, (colour, pattern) in looks.items():
        scene = repainted(scene, index, colour=colour, pattern=pattern)
    return scene


def enlarged(scene: Scene, size: tuple[int, int]) -> Scene:
    """The same scene at another (height, width); things and their ways grow as its height does.

    Surfaces and outlines are rendered anew; the ground's grains keep their size in pixels.
    """
    factor = size[0] / scene.size[0]

    def larger(pair: tuple[float, float]) -> tuple[float, float]:
        return pair[0] * factor, pair[1] * factor

    things = tuple(
        replace(
            thing,
            position=larger(thing.position),
            radius=thing.radius * factor,
            velocity=larger(thing.velocity),
        )
        for thing in scene.things
    )
    return replace(scene, size=size, pan=larger(scene.pan), things=things)


class Renderer:
    """Renders a scene's frames; keeps its ground texture between frames."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        height, width = scene.size
        rng = np.random.default_rng(scene.ground_seed)
        margin = self._margin = max(48, min(scene.size) // 4)
        self._texture = ground_texture(scene.ground, rng, (height + 2 * margin, width + 2 * margin))
        vignette = np.linspace(1 - 0.2 * scene.horizon, 1.05, height, dtype=np.float32)
        self._fade = vignette[:, None, None]
        light = np.array(scene.light, np.float32)
        self._light = light / np.linalg.norm(light)

    def frame(self, number: int) -> Frame:
        """Frame ``number`` (0-based) of the scene."""
        scene = self.scene
        height, width = scene.size
        shift = np.array(
            [
                [1, 0, self._margin + scene.pan[0] * number],
                [0, 1, self._margin + scene.pan[1] * number],
            ]
        )
        image = cv2.warpAffine(
            self._texture, shift, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
        image = np.asarray(image, np.float32) * self._fade
        rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        depth = np.broadcast_to(0.12 + 0.38 * scene.horizon * rows, scene.size).copy()
        ids = np.zeros(scene.size, np.uint8)
        flow = np.empty((2, height, width), np.float32)
        flow[0], flow[1] = -scene.pan[0], -scene.pan[1]
        for index, thing in enumerate(scene.things, start=1):
            self._shadow(image, thing, number)
            self._draw(image, depth, ids, flow, thing, index, number)
        return Frame(np.round(np.clip(image, 0, 1) * 255).astype(np.uint8), ids, depth, flow)

    def _shadow(self, image: Array, thing: Thing, number: int) -> None:
        x, y = thing.similarity(number)[:, 2]
        radius = thing.radius * (1 + thing.growth * number)
        rows, columns, box = _patch(self.scene.size, x, y + 0.6 * radius, 1.6 * radius, 1)
        if box is None:
            return
        side = (columns - x + 0.4 * radius * self._light[0]) / (0.95 * radius)
        down = (rows - y - 0.62 * radius) / (0.5 * radius)
        dark = 0.45 * np.clip(1.15 - side**2 - down**2, 0, 1)
        image[box] *= (1 - dark)[..., None]

    def _draw(
        self,
        image: Array,
        depth: Array,
        ids: NDArray[np.uint8],
        flow: Array,
        thing: Thing,
        index: int,
        number: int,
    ) -> None:
        matrix = thing.similarity(number)
        radius = thing.radius * (1 + thing.growth * number)
        rows, columns, box = _patch(self.scene.size, matrix[0, 2], matrix[1, 2], 1.15 * radius, OVERSAMPLE)
        if box is None:
            return
        inverse = np.linalg.inv(matrix[:, :2])
        dx, dy = columns - matrix[0, 2], rows - matrix[1, 2]
        x = (inverse[0, 0] * dx + inverse[0, 1] * dy).astype(np.float32)
        y = (inverse[1, 0] * dx + inverse[1, 1] * dy).astype(np.float32)
        surface = SHAPES[thing.shape](x, y, rotation(thing.yaw, thing.tilt))
        colour = self._shade(thing, surface)
        coverage = _halve(surface.inside.astype(np.float32))
        shaded = _halve(colour * surface.inside[..., None])
        image[box] = image[box] * (1 - coverage[..., None]) + shaded
        inside = coverage > 0.5
        ids[box][inside] = index
        base = 0.3 + 0.35 * np.clip(matrix[1, 2] / self.scene.size[0], 0, 1)
        near = base + 0.9 * (radius / min(self.scene.size)) * _halve(surface.height)
        depth[box][inside] = np.clip(near[inside], 0, 1)
        local = np.stack([_halve(x), _halve(y), np.ones_like(coverage)])
        motion = np.einsum("ij,jhw->ihw", thing.similarity(number + 1) - matrix, local)
        for axis in (0, 1):
            flow[axis][box][inside] = motion[axis][inside]

    def _shade(self, thing: Thing, surface: Surface) -> Array:
        main = np.clip(np.array(COLOURS[thing.colour]) + np.array(thing.jitter), 0, 1).astype(np.float32)
        second = np.full(3, 0.1 if thing.colour == "white" else 0.93, np.float32)
        albedo = painted(thing.pattern, main, second, surface.point, thing.pattern_scale)
        facing = np.clip(np.einsum("i,ihw->hw", self._light, surface.normal), 0, 1)
        lit = self.scene.ambient + (1.05 - self.scene.ambient) * facing
        half = self._light + np.array([0, 0, 1], np.float32)
        half /= np.linalg.norm(half)
        shine = 0.35 * np.clip(np.einsum("i,ihw->hw", half, surface.normal), 0, 1) ** 24
        colour = albedo * (lit * surface.albedo)[None] + (shine * surface.albedo)[None]
        return np.asarray(np.clip(colour, 0, 1).transpose(1, 2, 0), np.float32)


def _patch(
    size: tuple[int, int], x: float, y: float, reach: float, oversample: int
) -> tuple[Array, Array, tuple[slice, slice] | None]:
    """Pixel-centre coordinates of the box around (x, y), finer by ``oversample``; box None when out of frame."""
    top, bottom = max(0, int(y - reach)), min(size[0], int(y + reach) + 2)
    left, right = max(0, int(x - reach)), min(size[1], int(x + reach) + 2)
    nothing = np.zeros((0, 0), np.float32)
    if bottom - top < 2 or right - left < 2:
        return nothing, nothing, None
    offset = 0.5 / oversample - 0.5
    r = np.arange((bottom - top) * oversample, dtype=np.float32) / oversample + top + offset
    c = np.arange((right - left) * oversample, dtype=np.float32) / oversample + left + offset
    rows, columns = np.meshgrid(r, c, indexing="ij")
    return rows.astype(np.float32), columns.astype(np.float32), (slice(top, bottom), slice(left, right))


def _halve(values: Array) -> Array:
    """Mean over OVERSAMPLE × OVERSAMPLE blocks of [H, W, ...]."""
    height, width = values.shape[0] // OVERSAMPLE, values.shape[1] // OVERSAMPLE
    blocks = values.reshape(height, OVERSAMPLE, width, OVERSAMPLE, *values.shape[2:])
    return np.asarray(blocks.mean((1, 3)), np.float32)
