"""How near detail and grain bring ideal edits to what a plate at full resolution would show.

    python benchmarks/finish.py [--scenes 14] [--side 800] [--scale 2.5]

Scenes of the toy world are rendered large; their ideal edits are made as small as a model sees them and brought back.
Detail: PSNR in dB inside things and sharpness, as a share of the ideal's, by bicubic enlargement and by `enlarge`, for
another colour and for another pattern. Grain: noise that grows with brightness is put on the plate; the deviation that
`lay_grain` lays over a smooth edit, as a share of what was put there, for each thing.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from mive.evaluate.toyworld import COLOURS, PATTERNS, Renderer, Scene, random_scene
from mive.evaluate.training.rendering import HELD_OUT_SEEDS
from mive.media.enlarging import enlarge
from mive.media.grain import lay_grain
from mive.media.sizes import model_frame

Floats = npt.NDArray[np.float32]

_SEEDS: Final = HELD_OUT_SEEDS + 500_000
_GRAIN: Final = 4 / 255
_ENOUGH: Final = 300
"""Pixels of a thing, away from black and white, whose grain is judged."""


def scene(number: int, side: int) -> Scene:
    return random_scene(_SEEDS + number, (side, side), count=(2, 3), scale=(0.25, 0.4), spacing=0.5)


def changed(plain: Scene, kind: str) -> Scene:
    """The scene with the next colour but two, or the next pattern, for everything."""

    def other(now: str, words: object, step: int) -> str:
        names = list(words)  # type: ignore[call-overload]
        return str(names[(names.index(now) + step) % len(names)])

    things = [
        replace(thing, colour=other(thing.colour, COLOURS, 3)) if kind == "colour"
        else replace(thing, pattern=other(thing.pattern, PATTERNS, 1))
        for thing in plain.things
    ]  # fmt: skip
    return replace(plain, things=type(plain.things)(things))


def picture(of: Scene) -> Floats:
    return np.asarray(Renderer(of).frame(0).image / 255, np.float32)


def psnr(a: Floats, b: Floats, matte: Floats) -> float:
    return float(-10 * np.log10((((a - b) ** 2).mean(-1) * matte).sum() / matte.sum()))


def sharpness(a: Floats, b: Floats, matte: Floats) -> float:
    """Of ``a`` as a share of that of ``b``: the mean size of the Laplacian."""
    sizes = [(np.abs(cv2.Laplacian(x.mean(-1), cv2.CV_32F)) * matte).sum() for x in (a, b)]
    return float(sizes[0] / sizes[1])


def detail(number: int, side: int, scale: float, kind: str) -> tuple[float, float, float, float]:
    """PSNR bicubic and guided, sharpness bicubic and guided."""
    plain = scene(number, side)
    plate, ideal = picture(plain), picture(changed(plain, kind))
    matte = (Renderer(plain).frame(0).ids > 0).astype(np.float32)
    small = (round(side / scale), round(side / scale))
    edit = model_frame(ideal, small)
    usual = model_frame(edit, (side, side))
    guided = enlarge(edit, model_frame(plate, small), plate, matte)
    return (
        psnr(usual, ideal, matte), psnr(guided, ideal, matte),
        sharpness(usual, ideal, matte), sharpness(guided, ideal, matte),
    )  # fmt: skip


def grain(number: int, side: int, scale: float) -> list[float]:
    """Laid deviation by wanted deviation of each thing that is large enough."""
    plain = scene(number, side)
    clean, ids = picture(plain), Renderer(plain).frame(0).ids
    noise = np.random.default_rng(number).standard_normal(clean.shape, np.float32)
    plate = np.round(np.clip(clean + noise * _GRAIN * (0.5 + clean), 0, 1) * 255) / np.float32(255)
    small = (round(side / scale), round(side / scale))
    edit = model_frame(model_frame(picture(changed(plain, "colour")), small), (side, side))
    found = []
    for identity in range(1, len(plain.things) + 1):
        matte = ids == identity
        laid = lay_grain(edit, plate, matte.astype(np.float32), 1.0, (number, identity)) - edit
        judged = matte & (edit > 0.08).all(-1) & (edit < 0.92).all(-1)
        if np.count_nonzero(judged) >= _ENOUGH:
            wanted = np.sqrt(((_GRAIN * (0.5 + edit[judged])) ** 2).mean())
            found.append(float(laid[judged].std() / wanted))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Detail and grain on ideal edits.")
    parser.add_argument("--scenes", type=int, default=14)
    parser.add_argument("--side", type=int, default=800, help="pixels of the plate")
    parser.add_argument("--scale", type=float, default=2.5, help="pixels of the plate to a pixel of the model")
    options = parser.parse_args()
    numbers = range(options.scenes)
    print("| | bicubic | guided | better in | sharpness | guided |\n|---|---|---|---|---|---|")
    for kind in ("colour", "pattern"):
        rows = np.array([detail(number, options.side, options.scale, kind) for number in numbers])
        usual, guided, soft, sharp = rows.mean(0)
        better = f"{(rows[:, 1] > rows[:, 0]).sum()} of {len(rows)}"
        print(f"| {kind} | {usual:.1f} dB | {guided:.1f} dB | {better} | {soft:.2f} | {sharp:.2f} |")
    shares = np.array([share for number in numbers for share in grain(number, options.side, options.scale)])
    near = (np.abs(shares - 1) <= 0.1).mean()
    print(f"\ngrain: median {np.median(shares):.2f} of the plate's, {near:.0%} of {len(shares)} things within 10 %")


if __name__ == "__main__":
    main()
