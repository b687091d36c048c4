"""Table 3 of the paper on the toy world: 24 held-out clips, every row scored with the bundle's own CLIP.

    python benchmarks/ablations.py --work DIR [--clips 24] [--preset standard] [--rows full,no_ipr] [--table FILE.md]

Resumable: each finished (clip, row) is kept in DIR. No scene was seen in training.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from mive.edit import run_edit
from mive.editing.inversions import InversionCache
from mive.evaluate.bench.methods import choose
from mive.evaluate.metrics.files import score_files
from mive.evaluate.toyworld import COLOURS, PATTERNS, Scene, describe, random_scene
from mive.evaluate.toyworld.clip import write_clip
from mive.evaluate.training.rendering import HELD_OUT_SEEDS
from mive.request import EditRequest, Instance, Settings

FRAMES: Final = 8
NAMES: Final = ("full", "no_ipr", "dense_diffusion", "lps_only", "nps_only", "no_reinversion", "global_caption")
ROWS: Final[Mapping[str, Mapping[str, Any]]] = {method.name: method.changes for method in choose(NAMES)}
SCORES: Final = ("gtc", "gtf", "fa", "ltc", "ltf", "ia", "cia", "bp")


def scene_of(clip: int) -> Scene:
    """2 to 4 well-visible things, from seeds that no part of the bundle was trained on."""
    return random_scene(HELD_OUT_SEEDS + clip, (192, 192), count=(2, 4), scale=(0.14, 0.25), spacing=1.0)


def instances_of(scene: Scene, clip: int) -> tuple[Instance, ...]:
    """Another colour and pattern for each thing, the colours all different; the shape stays, as depth holds it."""
    rng = np.random.default_rng([HELD_OUT_SEEDS, clip])
    colours: list[str] = []
    for thing in scene.things:
        free = [colour for colour in COLOURS if colour != thing.colour and colour not in colours]
        colours.append(str(rng.choice(free)))
    patterns = rng.choice(PATTERNS, len(colours))
    return tuple(
        Instance(
            id=number,
            caption=describe(colour, str(pattern), thing.shape),
            source_caption=thing.caption,
        )
        for number, (thing, colour, pattern) in enumerate(zip(scene.things, colours, patterns, strict=True), start=1)
    )


def measure(row: str, clip: int, preset: str, work: Path, bundle: str) -> dict[str, Any]:
    """Edit one clip as one row says and score it; what was done before is read back."""
    done = work / f"{clip:03d}" / f"{row}.{preset}.json"
    if done.exists():
        kept: dict[str, Any] = json.loads(done.read_text())
        return kept
    scene = scene_of(clip)
    toy = write_clip(scene, done.parent, FRAMES) if not (done.parent / "captions.json").exists() else None
    source = toy.videos[0] if toy else done.parent / "source.mkv"
    instances = instances_of(scene, clip)
    request = EditRequest(
        clip=str(source),
        mattes=str(done.parent / "mattes"),
        instances=instances,
        global_caption=" and ".join(i.caption for i in instances),
        bundle=bundle,
        settings=Settings(preset=preset, **ROWS[row]),
    )
    started = time.monotonic()
    out = done.with_suffix(".mkv")
    run_edit(request, out, cache=InversionCache(work / "inversions"))
    scores = score_files(source, out, request.mattes, instances, bundle=bundle).to_dict()
    scores["seconds"] = round(time.monotonic() - started, 1)
    done.write_text(json.dumps(scores, indent=1))
    return scores


def table(results: Mapping[str, list[dict[str, Any]]], preset: str) -> str:
    """Markdown: mean of each score over the clips."""
    lines = [
        "| row | clips | " + " | ".join(name.upper() for name in SCORES) + " | s/clip |",
        "|---|---|" + "---|" * (len(SCORES) + 1),
    ]
    for row, clips in results.items():
        means = []
        for name in (*SCORES, "seconds"):
            values = [clip[name] for clip in clips if clip[name] is not None]
            means.append(f"{np.mean(values):.3f}" if name not in ("bp", "seconds") else f"{np.mean(values):.1f}")
        lines.append(f"| {row} | {len(clips)} | " + " | ".join(means) + " |")
    return "\n".join(lines) + f"\n\nPreset {preset}, {FRAMES} frames of 192 × 192, 2 to 4 instances a clip.\n"


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description="Ablations on held-out toy clips.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--bundle", default="tiny")
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {row: [] for row in options.rows.split(",")}
    for clip in range(options.clips):
        for row, scored in results.items():
            scored.append(measure(row, clip, options.preset, options.work, options.bundle))
            last = scored[-1]
            print(f"clip {clip} {row}: CIA {last['cia']} IA {last['ia']} in {last['seconds']} s", flush=True)
    text = table(results, options.preset)
    print(text)
    if options.table:
        options.table.write_text(text)


if __name__ == "__main__":
    main()
