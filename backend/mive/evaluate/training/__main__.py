"""Trains the `tiny` bundle from nothing, resuming wherever it was stopped.

    python -m mive.evaluate.training --work DIR --minutes 8                    (a GPU)
    python -m mive.evaluate.training --work DIR --minutes 3000 --workers 1     (a CPU, beside other work)
    python -m mive.evaluate.training --work DIR --minutes 8 --start BUNDLE     (U-Net and ControlNet go on from theirs)

Scenes are rendered in the background meanwhile. Stages run in order, each leaves its result in DIR, and what is there
is not made again; the bundle is written anew with every checkpoint of the last stage. Needs torch, diffusers,
transformers and OpenCV, no video library and no network. Figures of the shipped bundle are in
``bundles/tiny/README.md``.
"""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from mive.evaluate.training.bundle import read_parts
from mive.evaluate.training.precision import training_device
from mive.evaluate.training.rendering import GENERATOR_SEEDS, HELD_OUT_SEEDS, SCORER_SEEDS, rendering
from mive.evaluate.training.scenes import Scenes
from mive.evaluate.training.trainer import SIZES, Trainer

EXAM_SEEDS: Final = HELD_OUT_SEEDS + 400_000


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mive.evaluate.training", description="Train the tiny bundle.")
    parser.add_argument("--work", type=Path, required=True, help="folder for scenes, checkpoints and the bundle")
    parser.add_argument("--minutes", type=float, default=8, help="time for all of it, shared out over the stages")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1), help="rendering processes")
    parser.add_argument("--start", type=Path, metavar="BUNDLE", help="go on from a bundle of this architecture")
    parser.add_argument("--pieces", type=Path, metavar="DIR", help="also leave the bundle here, in pieces of 15 MiB")
    parser.add_argument("--size", choices=SIZES, help="batches and number of scenes; by default what the device suits")
    return parser.parse_args()


def main() -> None:
    """Train everything that is not there yet and write ``WORK/bundle``."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    size = SIZES[options.size or training_device().type.replace("cuda", "gpu")]
    start = None if options.start is None else read_parts(options.start)
    trainer = Trainer(options.work, options.minutes, size, start, options.pieces)
    sets = []
    with ExitStack() as stack:
        for name, first, count, share in (
            ("exam", EXAM_SEEDS, size.exam_scenes, 1.0),
            ("scorer", SCORER_SEEDS, size.scorer_scenes, 0.4),
            ("generator", GENERATOR_SEEDS, size.scenes, 0.9),
        ):
            folder, workers = options.work / f"{name}_scenes", max(1, round(share * options.workers))
            stack.enter_context(rendering(folder, first, count, workers))
            sets.append(Scenes(folder, count, trainer.device))
        trainer.run(sets[2], sets[1], sets[0])


if __name__ == "__main__":
    main()
