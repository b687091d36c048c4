"""Renders the training scenes into memory-mapped arrays, in the background, the same for the same seeds.

    python -m mive.evaluate.training.rendering FOLDER FIRST_SEED COUNT WORKERS

A process of its own, without torch: workers are forked in no time, and a trainer that uses a GPU is never forked.
What is there is not rendered again; it ends with the process that started it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mive.evaluate.toyworld import COLOURS, GROUNDS, PATTERNS, SHAPES, Renderer, Scene, random_scene

SIZE: Final = 192
"""Height and width of a scene in pixels."""

THINGS: Final = 8
"""At most so many things in a scene."""

CHUNK: Final = 32
"""Scenes of one job; they arrive together."""

GENERATOR_SEEDS: Final = 0
SCORER_SEEDS: Final = 10_000_000
HELD_OUT_SEEDS: Final = 20_000_000
"""First seeds of the three disjoint sets: what the generator saw, what the scorer saw, and what neither saw."""

_INDEX: Final = {
    word: i for words in (COLOURS, PATTERNS, SHAPES, GROUNDS) for i, word in enumerate(words)
}  # each word belongs to one list only
_ARRAYS: Final[dict[str, tuple[type, tuple[int, ...]]]] = {
    "images": (np.uint8, (SIZE, SIZE, 3)),
    "ids": (np.uint8, (SIZE, SIZE)),
    "depth": (np.uint8, (SIZE, SIZE)),
    "words": (np.int64, (THINGS, 3)),
    "ground": (np.int64, ()),
    "areas": (np.int64, (THINGS,)),
}


def training_scene(seed: int) -> Scene:
    """The scene of a seed: half of them as in the suites, the others close-ups as views show them, or crowds."""
    kind = seed % 20
    if kind < 5:
        return random_scene(seed, (SIZE, SIZE), count=(1, 3), scale=(0.22, 0.45), spacing=0.55)
    if kind < 9:
        return random_scene(seed, (SIZE, SIZE), count=(4, THINGS), scale=(0.06, 0.14))
    return random_scene(seed, (SIZE, SIZE))


def open_arrays(folder: Path, count: int) -> dict[str, NDArray[np.generic]]:
    """The arrays of ``count`` scenes, writable; made where they are missing.

    Returns:
        ``images`` [n, 192, 192, 3], ``ids`` and ``depth`` [n, 192, 192] (uint8; near is large), ``words``
        [n, things, 3] (indices of colour, pattern and shape, −1 for no thing; thing i has id i + 1), ``ground`` [n],
        ``areas`` [n, things] in pixels, ``done`` [n / CHUNK].
    """
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {name: (kind, (count, *shape)) for name, (kind, shape) in _ARRAYS.items()}
    shapes["done"] = (np.uint8, (count // CHUNK,))
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, (kind, shape) in shapes.items():
        path = folder / f"{name}.npy"
        mode = "r+" if path.exists() else "w+"
        arrays[name] = np.lib.format.open_memmap(path, mode, kind, shape)
    return arrays


def _render(folder: Path, first_seed: int, count: int, chunk: int) -> None:
    cv2.setNumThreads(1)
    arrays = open_arrays(folder, count)
    for index in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        scene = training_scene(first_seed + index)
        frame = Renderer(scene).frame(index % 8)
        words = np.full((THINGS, 3), -1)
        for i, thing in enumerate(scene.things):
            words[i] = _INDEX[thing.colour], _INDEX[thing.pattern], _INDEX[thing.shape]
        arrays["images"][index], arrays["ids"][index] = frame.image, frame.ids
        arrays["depth"][index] = np.round(frame.depth * 255)
        arrays["words"][index], arrays["ground"][index] = words, _INDEX[scene.ground]
        arrays["areas"][index] = np.bincount(frame.ids.ravel(), minlength=THINGS + 1)[1 : THINGS + 1]
    arrays["done"][chunk] = 1


def render(folder: Path, first_seed: int, count: int, workers: int) -> None:
    """Render every chunk that is not there yet; stops early when the parent process is gone."""
    parent = os.getppid()
    missing = np.flatnonzero(open_arrays(folder, count)["done"] == 0)
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_render, folder, first_seed, count, int(chunk)) for chunk in missing]
        for job in jobs:
            job.result()
            if os.getppid() != parent:
                pool.shutdown(cancel_futures=True)
                return


@contextmanager
def rendering(folder: Path, first_seed: int, count: int, workers: int) -> Iterator[None]:
    """Render in the background while the block runs; what is unfinished then is left for the next time."""
    open_arrays(folder, count)
    command = [sys.executable, "-m", "mive.evaluate.training.rendering", str(folder)]
    child = subprocess.Popen([*command, *map(str, (first_seed, count, workers))], start_new_session=True)
    try:
        yield
    finally:
        child.terminate()
        child.wait()


def main() -> None:
    folder, *numbers = sys.argv[1:]
    render(Path(folder), *map(int, numbers))


if __name__ == "__main__":
    main()
