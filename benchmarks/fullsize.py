"""Programs of Stable Diffusion 1.5's true size, with random weights: exported, checked by onnxruntime, built.

    python benchmarks/fullsize.py --work DIR

Needs no GPU, 20 GB of memory and of disk, and half an hour or more. Each row is a process of its own, so that its peak
of memory is its own; rows that DIR has are not made again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from tests.networks.sd15 import save_sd15
from tests.trt.agreement import agreement

from mive.engines.torch_engine import TorchEngine
from mive.networks.bundle import Bundle, load_bundle
from mive_trt.buckets import DECODED, Bucket
from mive_trt.build import WithPlugins, build_engine
from mive_trt.executor import Kind
from mive_trt.export import export_program
from mive_trt.flavour import Capability, Flavour, installed
from mive_trt.plugin_library import find_plugins

GPUS: Final[tuple[Capability, ...]] = ((8, 0), (8, 6), (8, 9), (12, 0))
BUCKETS: Final[Mapping[Kind, Bucket]] = {
    "unet": Bucket(2, 2, 64, 64),
    "controlnet": Bucket(2, 2, 64, 64),
    "vae_decoder": Bucket(DECODED, 1, 64, 64),
}
HEADER: Final = "| program | what | result | seconds | peak of memory |\n|---|---|---|---|---|"


def bundle_at(folder: Path, dtype: torch.dtype, small: bool) -> Bundle:
    """The bundle, made when it is not there."""
    if not (folder / "scheduler").exists():
        save_sd15(folder, full=not small)
    bundle = load_bundle(folder, dtype=dtype)
    TorchEngine(bundle)
    return bundle


def check(folder: Path, kind: Kind, small: bool) -> str:
    """onnxruntime against the network, float32."""
    bundle = bundle_at(folder, torch.float32, small)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        error, nodes = agreement(bundle, kind, BUCKETS[kind], Path(scratch))
    named = ", ".join(f"{count} {name}" for name, count in sorted(nodes.items())) or "no custom nodes"
    return f"differ by {error:.1e} of the largest number; {named}"


def build(folder: Path, kind: Kind, small: bool, *, plugins: bool) -> str:
    """An engine for all GPUs, float16."""
    bundle = bundle_at(folder, torch.float16, small)
    flavour = installed()
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        program = export_program(bundle, kind, BUCKETS[kind], Path(scratch)).path
        # Its memory is TensorRT's now.
        del bundle
        started = time.monotonic()
        built = build_engine(flavour, program, GPUS, plugins=the_plugins(flavour) if plugins else None)
    size = len(built.plan) / 1e6
    return f"{built.layers} layers, {built.plugins} plugins, {size:.0f} MB, {time.monotonic() - started:.0f} s of it"


def the_plugins(flavour: Flavour) -> WithPlugins:
    """MIVE's plugins, for all GPUs."""
    library, obstacle = find_plugins(flavour)
    if library is None:
        raise SystemExit(obstacle)
    return WithPlugins(library, GPUS)


ROWS: Final[Mapping[str, Callable[[Path, Kind, bool], str]]] = {
    "onnxruntime against torch, fp32": check,
    "built with plugins, fp16": lambda folder, kind, small: build(folder, kind, small, plugins=True),
    "built, fp16": lambda folder, kind, small: build(folder, kind, small, plugins=False),
}


def row(work: Path, kind: Kind, what: str, small: bool) -> dict[str, Any]:
    """One row, made in this process."""
    started = time.monotonic()
    result = ROWS[what](work / "bundle", kind, small)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"result": result, "seconds": round(time.monotonic() - started), "gib": round(peak, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Programs of Stable Diffusion 1.5's true size.")
    parser.add_argument("--work", type=Path, required=True, help="where the bundle and finished rows are kept")
    parser.add_argument("--small", action="store_true", help="a small bundle, to try this script")
    parser.add_argument("--row", nargs=2, metavar=("PROGRAM", "WHAT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    work = options.work / ("small" if options.small else "full")
    if options.row:
        kind, what = options.row
        print(json.dumps(row(work, kind, what, options.small)))
        return
    work.mkdir(parents=True, exist_ok=True)
    print(HEADER)
    for kind, bucket in BUCKETS.items():
        # Only U-Nets have nodes that plugins run.
        for what in ROWS if kind == "unet" else [name for name in ROWS if "plugins" not in name]:
            kept = work / f"{kind} {what}.json"
            if not kept.exists():
                command = [sys.executable, __file__, *sys.argv[1:], "--row", kind, what]
                said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                # Libraries may have printed something before.
                kept.write_text(json.dumps(json.loads(said.splitlines()[-1])))
            made = json.loads(kept.read_text())
            name = f"{kind}, {bucket.items} × {bucket.frames} × {bucket.height} × {bucket.width}"
            cells = (name, what, made["result"], made["seconds"], f"{made['gib']} GiB")
            print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
