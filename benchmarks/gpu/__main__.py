"""Everything that wants a GPU, in one command, for a machine without network: tests, kernels, method, training.

    python benchmarks/gpu --out DIR [--minutes 10] [--parts tests,kernels,method,training] [--dry]

Needs torch, diffusers, transformers, pydantic and OpenCV there, for the tests pytest and pytest-xdist, no video
library. Every part has a share of the time and is stopped at its end; what it wrote until then stays. The training
leaves the bundle in pieces of 15 MiB with every checkpoint. ``--dry`` tries everything at small sizes on a CPU.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
KERNEL_TESTS: Final = (
    "attention/test_ipr_triton", "attention/test_flow_triton", "attention/test_kernels_in_networks", "networks/norm",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A command, and which share of the whole time it may take."""

    command: tuple[str, ...]
    share: float


def parts(out: Path, minutes: float, dry: bool) -> Mapping[str, Part]:
    """The parts, in order. What one leaves of its share goes to the last."""
    tests = [str(next((ROOT / "tests").glob(f"{name}*"))) for name in KERNEL_TESTS]
    chosen = ["-k", "not cuda" if dry else "cuda or on_a_gpu"]
    work = Path("/dev/shm/mive-training") if Path("/dev/shm").is_dir() and not dry else out / "training"
    small, seconds = ["--small"] * dry, 60 * minutes
    return {
        "tests": Part(
            ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2" if dry else "12", *chosen, *tests), 0.2
        ),
        "kernels": Part(
            ("benchmarks/attention_kernels.py", "--tested", "--table", str(out / "kernels.md"), *["--help"] * dry), 0.06
        ),
        "method": Part(("benchmarks/gpu/method.py", "--out", str(out), "--seconds", str(0.18 * seconds), *small), 0.22),
        "training": Part(
            ("-m", "mive.evaluate.training", "--work", str(work), "--pieces", str(out), *["--size", "dry"] * dry), 0.52
        ),
    }


def run(name: str, part: Part, seconds: float, out: Path) -> str:
    """One part, its output shown and kept in ``OUT/<name>.txt``; returns what became of it."""
    extra = ("--minutes", str((seconds - 15) / 60)) if name == "training" else ()
    paths = os.pathsep.join(str(ROOT / place) for place in ("backend", ".", "benchmarks"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([paths, os.environ.get("PYTHONPATH", "")])}
    environment |= {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    with (out / f"{name}.txt").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, *part.command, *extra], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.terminate()
            child.wait()
            return f"stopped at its {seconds:.0f} s"
    return f"{'done' if code == 0 else f'FAILED ({code})'} in {time.monotonic() - began:.0f} s"


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/gpu", description="Everything that wants a GPU, in one command.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10, help="for all of it")
    parser.add_argument("--parts", default="tests,kernels,method,training")
    parser.add_argument("--dry", action="store_true", help="small sizes, on a CPU")
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + 60 * options.minutes
    names = options.parts.split(",")
    available = parts(out, options.minutes, options.dry)
    whole = sum(available[name].share for name in names)
    failed = False
    for name in names:
        left = ends - time.monotonic()
        seconds = left if name == names[-1] else min(left, 60 * options.minutes * available[name].share / whole)
        became = run(name, available[name], seconds, out)
        tail = (out / f"{name}.txt").read_text(errors="replace").splitlines()[-12:]
        print(f"## {name}: {became}", *tail, sep="\n", flush=True)
        failed |= "FAILED" in became
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
