"""The training set of the tiny bundle: rendered once into memory-mapped arrays, the same for the same seeds."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mive.evaluate.toyworld import Renderer, random_scene

SIZE: Final = 192
GENERATOR_SEEDS: Final = 0
SCORER_SEEDS: Final = 10_000_000
HELD_OUT_SEEDS: Final = 20_000_000
"""First seeds of the three disjoint sets: what the generator saw, what the scorer saw, and what neither saw."""


@dataclass(frozen=True)
class ToySet:
    """Rendered scenes.

    Attributes:
        images: [n, 192, 192, 3] uint8.
        ids: [n, 192, 192] uint8 matte ids.
        depth: [n, 192, 192] uint8, near is large.
        words: per scene ``{"ground": str, "things": [[colour, pattern, shape], ...]}``; thing i has id i + 1.
    """

    images: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    depth: NDArray[np.uint8]
    words: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.words)


def _render(
    seed: int,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], dict[str, Any]]:
    scene = random_scene(seed, (SIZE, SIZE))
    frame = Renderer(scene).frame(seed % 8)
    words = {
        "ground": scene.ground,
        "things": [[t.colour, t.pattern, t.shape] for t in scene.things],
    }
    return frame.image, frame.ids, np.round(frame.depth * 255).astype(np.uint8), words


def build(folder: Path, first_seed: int, count: int, workers: int = 2) -> None:
    """Render ``count`` scenes from ``first_seed`` into ``folder``; does nothing when they are there."""
    if (folder / "words.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    shape = (count, SIZE, SIZE)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (*shape, 3))
    ids = np.lib.format.open_memmap(folder / "ids.npy", "w+", np.uint8, shape)
    depth = np.lib.format.open_memmap(folder / "depth.npy", "w+", np.uint8, shape)
    words = []
    with ProcessPoolExecutor(workers) as pool:
        seeds = range(first_seed, first_seed + count)
        for index, drawn in enumerate(pool.map(_render, seeds, chunksize=64)):
            images[index], ids[index], depth[index], description = drawn
            words.append(description)
    for array in (images, ids, depth):
        array.flush()
    (folder / "words.json").write_text(json.dumps(words))


def load(folder: Path) -> ToySet:
    """The set that `build` left in ``folder``, mapped, not read."""
    arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "ids", "depth")]
    return ToySet(arrays[0], arrays[1], arrays[2], json.loads((folder / "words.json").read_text()))
