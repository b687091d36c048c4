"""The solids of the toy world, seen by an orthographic camera that looks along -z.

Every solid is a function from local screen coordinates to the surface that the camera sees there. Local units:
the solid fits a circle of radius 1, x to the right, y up, z towards the camera.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

HOLE: Final = np.float32(0.4)
"""Albedo factor of the inside of a cup."""


@dataclass(frozen=True)
class Surface:
    """What the camera sees of one solid.

    Attributes:
        inside: [H, W] bool, where the solid is.
        point: [3, H, W] position in the solid's own frame (before its rotation), for patterns.
        normal: [3, H, W] unit normals in screen space.
        height: [H, W] z towards the camera, local units, 0 outside.
        albedo: [H, W] factor on the colour (1, less inside a cup).
    """

    inside: NDArray[np.bool_]
    point: Array
    normal: Array
    height: Array
    albedo: Array


def rotation(yaw: float, tilt: float) -> Array:
    """Rotation by ``yaw`` about the solid's y axis, then ``tilt`` about x (radians; tilt > 0 shows its top)."""
    cy, sy, ct, st = np.cos(yaw), np.sin(yaw), np.cos(tilt), np.sin(tilt)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, ct, -st], [0, st, ct]])
    return np.asarray(about_x @ about_y, dtype=np.float32)


def _surface(x: Array, y: Array, z: Array, normal: Array, turn: Array, albedo: Array | None = None) -> Surface:
    """Assemble a surface from its front height (-inf where there is none) and screen-space normals."""
    inside = np.isfinite(z) & (z > -9)
    height = np.where(inside, z, 0).astype(np.float32)
    point = np.einsum("ji,jhw->ihw", turn, np.stack([x, y, height])).astype(np.float32)
    length = np.sqrt((normal**2).sum(0, keepdims=True)) + 1e-6
    ones = np.ones_like(height) if albedo is None else albedo
    return Surface(inside, point, (normal / length).astype(np.float32), height, ones)


def _polyhedron(x: Array, y: Array, turn: Array, normals: Array, offsets: Array) -> Surface:
    """A convex solid {p : normals · p <= offsets}, by clipping each camera ray with every face."""
    faces = normals @ turn.T
    front = np.full(x.shape, np.inf, np.float32)
    back = np.full(x.shape, -np.inf, np.float32)
    normal = np.zeros((3, *x.shape), np.float32)
    for face, offset in zip(faces, offsets, strict=True):
        rest = offset - face[0] * x - face[1] * y
        if abs(face[2]) < 1e-4:
            front = np.where(rest < 0, -np.inf, front)
        elif face[2] > 0:
            z = rest / face[2]
            nearer = z < front
            front = np.where(nearer, z, front)
            normal = np.where(nearer, face[:, None, None], normal)
        else:
            back = np.maximum(back, rest / face[2])
    z = np.where(front > back, front, -np.inf).astype(np.float32)
    return _surface(x, y, z, normal, turn)


def _box_planes(half: tuple[float, float, float]) -> tuple[Array, Array]:
    normals = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32)
    offsets = np.array([half[0], half[0], half[1], half[1], half[2], half[2]], np.float32)
    return normals, offsets


def cube(x: Array, y: Array, turn: Array) -> Surface:
    return _polyhedron(x, y, turn, *_box_planes((0.6, 0.6, 0.6)))


def pyramid(x: Array, y: Array, turn: Array) -> Surface:
    """Square pyramid: apex at y = 1, base at y = -0.65."""
    slope = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
    sides = np.stack([slope[:, 0], np.full(4, 0.5, np.float32), slope[:, 1]], 1)
    normals = np.concatenate([sides, np.array([[0, -1, 0]], np.float32)])
    offsets = np.array([0.5, 0.5, 0.5, 0.5, 0.65], np.float32)
    return _polyhedron(x, y, turn, normals, offsets)


def diamond(x: Array, y: Array, turn: Array) -> Surface:
    """Octahedron, taller than wide."""
    signs = np.array([[a, b, c] for a in (1, -1) for b in (1, -1) for c in (1, -1)], np.float32)
    normals = signs * np.array([1 / 0.8, 1.0, 1 / 0.8], np.float32)
    return _polyhedron(x, y, turn, normals, np.ones(8, np.float32))


def ball(x: Array, y: Array, turn: Array) -> Surface:
    rest = 0.81 - x**2 - y**2
    z = np.where(rest > 0, np.sqrt(np.maximum(rest, 0)), -np.inf).astype(np.float32)
    normal = np.stack([x, y, np.where(rest > 0, z, 0)]).astype(np.float32)
    return _surface(x, y, z, normal, turn)


def _revolved(x: Array, y: Array, turn: Array, low: float, high: float, r_low: float, r_high: float) -> Surface:
    """A cone frustum about the solid's y axis from (low, r_low) to (high, r_high), closed by a lid at the top."""
    slope = (r_high - r_low) / (high - low)
    start = np.einsum("ji,jhw->ihw", turn, np.stack([x, y, np.zeros_like(x)]))
    step = turn.T @ np.array([0, 0, 1], np.float32)
    radius, change = r_low + slope * (start[1] - low), slope * step[1]
    a = step[0] ** 2 + step[2] ** 2 - change**2
    b = 2 * (start[0] * step[0] + start[2] * step[2] - radius * change)
    c = start[0] ** 2 + start[2] ** 2 - radius**2
    root = b**2 - 4 * a * c
    z = (-b + np.sqrt(np.maximum(root, 0))) / (2 * a)
    at = start + z * step[:, None, None]
    z_side = np.where((root > 0) & (at[1] >= low) & (at[1] <= high), z, -np.inf)
    across = at[0] ** 2 + at[2] ** 2
    outward = np.stack([at[0], -slope * np.sqrt(np.maximum(across, 0)), at[2]])
    normal = np.einsum("ij,jhw->ihw", turn, outward)
    lid = (high - start[1]) / (step[1] + 1e-6)
    at_lid = start + lid * step[:, None, None]
    on_lid = at_lid[0] ** 2 + at_lid[2] ** 2 <= r_high**2
    z_front = np.where(on_lid, np.maximum(lid, z_side), z_side).astype(np.float32)
    is_lid = on_lid & (lid >= z_side)
    normal = np.where(is_lid, turn[:, 1, None, None], normal).astype(np.float32)
    surface = _surface(x, y, z_front, normal, turn)
    distance = np.sqrt(at_lid[0] ** 2 + at_lid[2] ** 2) / max(r_high, 1e-3)
    hollow = np.where(is_lid & (distance < 0.85), HOLE, np.float32(1)).astype(np.float32)
    return Surface(surface.inside, surface.point, surface.normal, surface.height, hollow)


def _closed(surface: Surface) -> Surface:
    return Surface(surface.inside, surface.point, surface.normal, surface.height, np.ones_like(surface.height))


def cylinder(x: Array, y: Array, turn: Array) -> Surface:
    return _closed(_revolved(x, y, turn, -0.75, 0.75, 0.58, 0.58))


def cone(x: Array, y: Array, turn: Array) -> Surface:
    return _closed(_revolved(x, y, turn, -0.75, 0.95, 0.72, 0.01))


def cup(x: Array, y: Array, turn: Array) -> Surface:
    """A beaker with an open top and a handle at its right."""
    body = _revolved(x + 0.15, y, turn, -0.75, 0.7, 0.45, 0.66)
    handle = ring((x - 0.52) / 0.42, (y + 0.02) / 0.42, np.eye(3, dtype=np.float32))
    seen = handle.inside & ~body.inside

    def mix(a: Array, b: Array) -> Array:
        return np.where(seen, b, a).astype(np.float32)

    return Surface(
        body.inside | handle.inside,
        mix(body.point, handle.point),
        mix(body.normal, handle.normal),
        mix(body.height, handle.height * 0.42),
        mix(body.albedo, handle.albedo),
    )


def ring(x: Array, y: Array, turn: Array) -> Surface:
    """A torus that faces the camera."""
    distance = np.sqrt(x**2 + y**2) + 1e-6
    off = distance - 0.66
    rest = 0.28**2 - off**2
    z = np.where(rest > 0, np.sqrt(np.maximum(rest, 0)), -np.inf).astype(np.float32)
    normal = np.stack([off * x / distance, off * y / distance, np.where(rest > 0, z, 0)])
    return _surface(x, y, z, normal.astype(np.float32), turn)


def _cushion(x: Array, y: Array, depth_inside: Array, turn: Array) -> Surface:
    """A flat outline blown up like a cushion; ``depth_inside`` is the distance to the outline, > 0 inside."""
    round_off = 0.35
    lift = np.clip(depth_inside / round_off, 0, 1)
    height = (round_off * np.sqrt(1 - (1 - lift) ** 2)).astype(np.float32)
    spacing = float(abs(x[0, 1] - x[0, 0])) + float(abs(y[0, 1] - y[0, 0])) + 1e-6
    along_rows, along_columns = np.gradient(height, spacing)
    # local axes may be rotated against the pixel grid, so map the gradient back through it
    basis = np.array([[x[0, 1] - x[0, 0], y[0, 1] - y[0, 0]], [x[1, 0] - x[0, 0], y[1, 0] - y[0, 0]]])
    inverse = np.linalg.inv(basis / spacing)
    slope_x = inverse[0, 0] * along_columns + inverse[0, 1] * along_rows
    slope_y = inverse[1, 0] * along_columns + inverse[1, 1] * along_rows
    z = np.where(depth_inside > 0, height, -np.inf).astype(np.float32)
    normal = np.stack([-slope_x, -slope_y, np.full_like(height, 0.6)]).astype(np.float32)
    return _surface(x, y, z, normal, turn)


def star(x: Array, y: Array, turn: Array) -> Surface:
    """Five points: distance to the edge of the nearest half point, folded by symmetry."""
    sector = np.pi / 5
    angle = np.mod(np.arctan2(x, y), 2 * sector)
    folded = np.minimum(angle, 2 * sector - angle)
    distance = np.sqrt(x**2 + y**2)
    px, py = distance * np.sin(folded), distance * np.cos(folded)
    tip, notch = np.array([0.0, 1.0]), 0.48 * np.array([np.sin(sector), np.cos(sector)])
    edge = notch - tip
    normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
    gap = ((px - tip[0]) * normal[0] + (py - tip[1]) * normal[1]).astype(np.float32)
    return _cushion(x, y, gap, turn)


def heart(x: Array, y: Array, turn: Array) -> Surface:
    """The sextic heart curve (x² + y² - 1)³ = x² y³, scaled to the unit circle."""
    u, v = x * 1.25, y * 1.25 + 0.1
    core = u**2 + v**2 - 1
    value = core**3 - u**2 * v**3
    slope_u = 6 * u * core**2 - 2 * u * v**3
    slope_v = 6 * v * core**2 - 3 * u**2 * v**2
    gap = -value / (np.sqrt(slope_u**2 + slope_v**2) + 0.15) / 1.25
    return _cushion(x, y, np.asarray(gap, np.float32), turn)


SHAPES: Final[dict[str, Callable[[Array, Array, Array], Surface]]] = {
    "ball": ball,
    "cube": cube,
    "cone": cone,
    "cylinder": cylinder,
    "cup": cup,
    "star": star,
    "ring": ring,
    "diamond": diamond,
    "heart": heart,
    "pyramid": pyramid,
}
