"""Peak resident memory against the number of instances and of frames, each run in a process of its own.

    python benchmarks/memory.py [--preset draft] [--table docs/measurements/memory.md]

Ratios to the first row are what counts: memory must be flat in instances, and flat in frames past one window.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from mive.edit import run_edit
from mive.evaluate.toyworld import random_scene
from mive.evaluate.toyworld.clip import write_clip
from mive.request import EditRequest, Instance, Settings

WINDOW = 8
CASES = [(1, 8), (2, 8), (4, 8), (8, 8), (2, 16), (2, 32)]


def peak(instances: int, frames: int, preset: str) -> int:
    """Edit a toy clip and return this process's peak resident memory in bytes."""
    scene = random_scene(20_500_000, (192, 192), count=(instances, instances), scale=(0.06, 0.1), spacing=1.1)
    with tempfile.TemporaryDirectory() as folder:
        toy = write_clip(scene, Path(folder), frames)
        request = EditRequest(
            clip=str(toy.videos[0]),
            mattes=str(toy.mattes),
            instances=tuple(Instance(id=i + 1, caption="a red ball") for i in range(instances)),
            settings=Settings(preset=preset, window=WINDOW, overlap=2),
        )
        run_edit(request, Path(folder) / "out.mkv")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Run every case and print the table."""
    parser = argparse.ArgumentParser(description="Peak memory of an edit.")
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.case:
        instances, frames = json.loads(options.case)
        print(peak(instances, frames, options.preset))
        return
    lines = ["| instances | frames | peak MiB | ratio |", "|---|---|---|---|"]
    first = 0
    for case in CASES:
        command = [sys.executable, __file__, "--preset", options.preset, "--case", json.dumps(case)]
        used = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        first = first or used
        lines.append(f"| {case[0]} | {case[1]} | {used / 2**20:.0f} | {used / first:.2f} |")
        print(lines[-1], flush=True)
    text = "\n".join(lines) + f"\n\nWindow of {WINDOW} frames, 192 × 192, one instance per forward.\n"
    if options.table:
        options.table.write_text(text)


if __name__ == "__main__":
    main()
