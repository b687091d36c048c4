"""What 8 bits do to edits: ModelOpt's simulation of quantised programs, in the torch engine, on held-out toy clips.

    python benchmarks/quantized.py --work DIR [--clips 6] [--preset draft] [--table FILE.md]

Needs no GPU. The layers are measured on the demo's clip, which is none of these. That programs compute what is
simulated here is for tests/trt to see. Resumable: each finished edit is kept in DIR.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from ablations import SCORES, instances_of, scene_of

from mive.base.progress import Clock
from mive.edit import open_shot
from mive.editing.editor import Editor
from mive.editing.inversions import InversionCache
from mive.evaluate.demo import demo_request
from mive.evaluate.metrics.files import score_files
from mive.evaluate.toyworld.clip import write_clip
from mive.media import open_clip, open_mattes, open_writer
from mive.networks.bundle import Bundle, load_bundle
from mive.networks.bundle_files import find_bundle, hash_bundle
from mive.request import EditRequest, FrameRange, Settings
from mive.settings import Quantize
from mive_trt.calibrate import measure

ROWS: Final[tuple[Quantize, ...]] = ("none", "int8", "fp8")
FRAMES: Final = 4


def simulated(quantize: Quantize) -> Bundle:
    """The tiny bundle, whose layers compute as if they had 8 bits."""
    bundle = load_bundle("tiny")
    if quantize != "none":
        with tempfile.TemporaryDirectory() as scratch:
            request = demo_request(Path(scratch))[1]
            measure(bundle, quantize, lambda: edit(request, bundle, Path(scratch) / "out.mkv"))
    return bundle


def edit(request: EditRequest, bundle: Bundle, out: Path) -> None:
    """Write what an edit makes with these networks."""
    shot = open_shot(request)
    hashes = hash_bundle(find_bundle("tiny"))
    editor = Editor.with_bundle(request, shot.settings, bundle, hashes, InversionCache(None), Clock())
    with open_writer(out, shot.clip.info, shot.frames) as writer:
        for frame in editor.run(shot.clip, shot.mattes, editor.frame(shot.mattes), lambda progress: None):
            writer.write(frame)


def compare(clip: int, quantize: Quantize, bundle: Bundle | None, preset: str, work: Path) -> dict[str, Any]:
    """Edit one clip and score it; what was done before is read back.

    Returns:
        The scores, and of the pixels inside the mattes how far they moved from the edit without 8 bits, of 255: the
        mean, and how many percent by more than 8.
    """
    folder = work / f"{clip:03d}"
    done = folder / f"{quantize}.{preset}.json"
    if bundle is None:
        kept: dict[str, Any] = json.loads(done.read_text())
        return kept
    scene = scene_of(clip)
    toy = write_clip(scene, folder, FRAMES)
    instances = instances_of(scene, clip)
    settings = Settings(preset=preset, device="cpu", precision="fp32")
    request = EditRequest(
        clip=str(toy.videos[0]), mattes=str(toy.mattes), instances=instances, bundle="tiny", settings=settings
    )
    started = time.monotonic()
    out = done.with_suffix(".mkv")
    edit(request, bundle, out)
    seconds = round(time.monotonic() - started, 1)
    scores = score_files(toy.videos[0], out, request.mattes, instances, bundle="tiny").to_dict()
    mattes = open_mattes(request.mattes, instances, open_clip(out).info, FrameRange(0, FRAMES - 1), "exact")
    inside = np.stack([mattes.read(index).sum(0) > 0.5 for index in range(FRAMES)])
    plain, edited = (
        np.stack(list(open_clip(path).read())).astype(int)[inside] for path in (folder / f"none.{preset}.mkv", out)
    )
    moved = np.abs(edited - plain)
    scores |= {"moved": float(moved.mean()), "far": 100 * float((moved > 8).mean()), "seconds": seconds}
    done.write_text(json.dumps(scores, indent=1))
    return scores


def table(results: dict[Quantize, list[dict[str, Any]]], preset: str) -> str:
    """Markdown: means over the clips."""
    shown = ("ia", "cia", "ltc", "fa", "bp")
    lines = [
        "| 8 bits | " + " | ".join(name.upper() for name in shown) + " | pixels moved by | by more than 8 |",
        "|---|" + "---|" * (len(shown) + 2),
    ]
    assert set(shown) <= set(SCORES)
    for quantize, clips in results.items():
        means = {name: np.mean([clip[name] for clip in clips]) for name in (*shown, "moved", "far")}
        cells = [f"{means[name]:.3f}" if name != "bp" else f"{means[name]:.1f}" for name in shown]
        lines.append(f"| {quantize} | {' | '.join(cells)} | {means['moved']:.1f} of 255 | {means['far']:.0f} % |")
    count = len(next(iter(results.values())))
    return "\n".join(lines) + f"\n\nPreset {preset}, {count} clips of {FRAMES} frames of 192 × 192, float32 besides.\n"


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description="8-bit networks on held-out toy clips.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    results: dict[Quantize, list[dict[str, Any]]] = {}
    for row in ROWS:
        missing = [
            n for n in range(options.clips) if not (options.work / f"{n:03d}/{row}.{options.preset}.json").exists()
        ]
        bundle = simulated(row) if missing else None
        results[row] = []
        for clip in range(options.clips):
            used = bundle if clip in missing else None
            results[row].append(compare(clip, row, used, options.preset, options.work))
            print(clip, row, results[row][-1], flush=True)
    text = table(results, options.preset)
    print(text)
    if options.table:
        options.table.write_text(text)


if __name__ == "__main__":
    main()
