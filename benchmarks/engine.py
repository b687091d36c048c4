"""What an ε and a whole edit cost, by engine and part, against a plain implementation of the same plan.

    python benchmarks/engine.py [--engine torch|trt] [--bundle tiny] [--table FILE.md]

Everything in one run, because ratios are what counts. On a CPU, seconds are those that the processor worked, which
other programs hardly change; on a GPU they are wall time.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from plain import PlainEditor
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mive.attention.ipr import ipr_strength
from mive.base.progress import Clock
from mive.edit import Shot, open_shot
from mive.editing.editor import Editor
from mive.editing.inversions import InversionCache
from mive.engines.choice import choose_engine, engine_dtype, make_engine
from mive.engines.devices import choose_device
from mive.engines.engine import Engine
from mive.engines.torch_engine import TorchEngine
from mive.evaluate.toyworld import random_scene
from mive.evaluate.toyworld.clip import write_clip
from mive.method.denoiser import Call, Conditions
from mive.networks.bundle import load_bundle
from mive.networks.bundle_files import hash_bundle
from mive.request import EditRequest, Instance, Settings
from mive.settings import Precision

COLOURS = ("red", "green", "blue", "yellow", "cyan", "magenta", "white", "black")

EPSILON_HEADER = (
    "| instances | frames | size | {parts} | whole ε | TFLOP/s | of the peak |\n|---|---|---|{lines}---|---|---|"
)
EDIT_HEADER = (
    "| instances | frames | MIVE | new captions | plain | ratio | MIVE, per instance and frame | pixels differ by |\n"
    "|---|---|---|---|---|---|---|---|"
)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long it takes: processor time on a CPU, wall time on a GPU."""
    if device.type == "cpu":
        begin = time.process_time()
        work()
        return time.process_time() - begin
    torch.cuda.synchronize(device)
    begin = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def median(work: Callable[[], object], device: torch.device, times: int = 3) -> float:
    """The median of several, after one to warm up."""
    work()
    return sorted(seconds(work, device) for _ in range(times))[times // 2]


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large product of matrices: what the device reaches at best."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / median(lambda: a @ b, device)


@contextmanager
def parts_of(engine: Engine) -> Iterator[dict[str, float]]:
    """Seconds that each network takes inside the block."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **more: Any) -> Any:
            result: list[Any] = []
            spent[name] += seconds(lambda: result.append(work(*args, **more)), engine.device)
            return result[0]

        return run

    with ExitStack() as stack:
        if isinstance(engine, TorchEngine):
            for name, network in (("ControlNet", engine.bundle.controlnet), ("U-Net", engine.bundle.unet)):
                stack.enter_context(_replaced(network, "forward", timed(name, network.forward)))
        else:
            names = {"controlnet": "ControlNet", "unet": "U-Net"}
            run = engine._run  # type: ignore[attr-defined]
            by_kind = {kind: timed(name, run) for kind, name in names.items()}
            stack.enter_context(_replaced(engine, "_run", lambda kind, *rest: by_kind[kind](kind, *rest)))
        yield spent


@contextmanager
def _replaced(thing: nn.Module | Engine, name: str, new: Callable[..., Any]) -> Iterator[None]:
    """An attribute of this object alone is another inside the block."""
    setattr(thing, name, new)
    try:
        yield
    finally:
        delattr(thing, name)


def epsilon_row(engine: Engine, instances: int, frames: int, size: int, best: float) -> str:
    """One ε of guided instances with IPR, flow and ControlNet."""
    rng = np.random.default_rng(0)
    pictures = rng.random((frames, size, size, 3), dtype=np.float32)
    masks = np.zeros((instances, size, size), np.float32)
    for i in range(instances):
        masks[i, i * size // instances : (i + 1) * size // instances] = 1
    conditions = engine.conditions(pictures, [masks] * frames, "dis", "flatten", "nearest")
    side = size // engine.bundle.latent_factor
    z = torch.randn(instances, frames, engine.bundle.latent_channels, side, side, device=engine.device)
    captions = tuple(f"a {COLOURS[i % 8]} ball" for i in range(instances))
    call = Call(z, 501, captions, tuple(range(instances)), ipr_strength(1, 20, [0.4] * instances, [0.6] * instances))
    whole = median(lambda: engine.output(call, conditions), engine.device)
    with parts_of(engine) as spent:
        engine.output(call, conditions)
    flops = _flops(engine, call, conditions) / whole
    parts = " | ".join(f"{1000 * spent[name]:.0f}" for name in ("ControlNet", "U-Net"))
    return (
        f"| {instances} | {frames} | {size} × {size} | {parts} | {1000 * whole:.0f} | {flops / 1e12:.3f} "
        f"| {flops / best:.0%} |"
    )


def _flops(engine: Engine, call: Call, conditions: Conditions) -> int:
    """Of products and convolutions, as the torch networks do them."""
    eager = engine if isinstance(engine, TorchEngine) else TorchEngine(load_bundle(engine.bundle.folder))
    with FlopCounterMode(display=False) as counter:
        eager.output(call, conditions)
    return int(counter.get_total_flops())


def precision(options: argparse.Namespace) -> Precision:
    """float32 on CPUs, some of which would take bfloat16."""
    return "fp32" if choose_device(options.device).type == "cpu" else "auto"


def make_request(folder: Path, instances: int, frames: int, options: argparse.Namespace, turn: int = 0) -> EditRequest:
    """An edit of a toy clip; every ``turn`` has other captions."""
    scene = random_scene(20_500_000, (192, 192), count=(instances, instances), scale=(0.1, 0.15), spacing=1.1)
    toy = write_clip(scene, folder, frames)
    return EditRequest(
        clip=str(toy.videos[0]),
        mattes=str(toy.mattes),
        instances=tuple(
            Instance(id=i + 1, caption=f"a {COLOURS[(i + turn) % len(COLOURS)]} ball") for i in range(instances)
        ),
        bundle=options.bundle,
        settings=Settings(
            preset=options.preset,
            steps=options.steps,
            inversion_steps=options.steps and 2 * options.steps,
            window=frames,
            overlap=0,
            device=options.device,
            precision=precision(options),
        ),
    )


def run(kind: type[Editor], request: EditRequest, cache: InversionCache, engine: str) -> tuple[float, list[Any]]:
    """Seconds of an edit without loading, and its frames."""
    shot: Shot = open_shot(request)
    device = choose_device(shot.settings.device)
    choice = choose_engine(engine, shot.settings, device)  # type: ignore[arg-type]
    bundle = load_bundle(shot.folder, device=device, dtype=engine_dtype(choice, shot.settings, device))
    editor = kind.with_bundle(request, shot.settings, bundle, hash_bundle(shot.folder), cache, Clock(), choice)
    made: list[NDArray[Any]] = []
    took = seconds(
        lambda: made.extend(editor.run(shot.clip, shot.mattes, editor.frame(shot.mattes), lambda progress: None)),
        device,
    )
    return took, made


def edit_row(instances: int, frames: int, options: argparse.Namespace) -> str:
    """A whole edit: from the clip, with new captions on the same clip, and by the plain implementation."""
    with tempfile.TemporaryDirectory() as folder:
        requests = [make_request(Path(folder) / str(turn), instances, frames, options, turn) for turn in (0, 1)]
        cache = InversionCache(Path(folder) / "inversions")
        ours, made = run(Editor, requests[0], cache, options.engine)
        again, _ = run(Editor, requests[1], cache, options.engine)
        plain, expected = run(PlainEditor, requests[0], InversionCache(None), "torch")
    differ = max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in zip(made, expected, strict=True))
    return (
        f"| {instances} | {frames} | {ours:.1f} s | {again:.1f} s | {plain:.1f} s | **{plain / ours:.2f}** "
        f"| {ours / instances / frames:.2f} s | {differ} of 255 |"
    )


def tables(options: argparse.Namespace) -> Iterator[str]:
    """Both tables, line by line."""
    device = choose_device(options.device)
    settings = Settings(device=options.device, precision=precision(options), model_size=options.size).resolved({})
    choice = choose_engine(options.engine, settings, device)
    bundle = load_bundle(options.bundle, device=device, dtype=engine_dtype(choice, settings, device))
    engine = make_engine(choice, bundle, hash_bundle(bundle.folder), settings)
    best = peak(device, engine.dtype)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
    yield (
        f"{name}, torch {torch.__version__} on {torch.get_num_threads()} thread(s), bundle {options.bundle}, "
        f"engine {engine.name}, {str(engine.dtype).removeprefix('torch.')}; a large product of matrices reaches "
        f"{best / 1e12:.3f} TFLOP/s.\n\nMilliseconds of one ε of guided instances, with IPR, flow and ControlNet:\n"
    )
    yield EPSILON_HEADER.format(parts="ControlNet | U-Net", lines="---|---|")
    for instances, frames in options.epsilon:
        yield epsilon_row(engine, instances, frames, options.size, best)
    if device.type == "cuda":
        yield f"\nPeak memory: {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB."
    del engine, bundle
    steps = f"{options.steps} steps" if options.steps else f'preset "{options.preset}"'
    yield f"\nWhole edits, {steps}, loading left out:\n"
    yield EDIT_HEADER
    for instances, frames in options.edit:
        yield edit_row(instances, frames, options)


def cases(text: str) -> Sequence[tuple[int, int]]:
    """``1x4,4x4``: instances × frames."""
    return [(int(a), int(b)) for a, b in (case.split("x") for case in text.split(",") if case)]


def main() -> None:
    """Run every case and print the tables."""
    parser = argparse.ArgumentParser(description="What an ε and an edit cost.")
    parser.add_argument("--engine", default="torch", choices=("torch", "trt"))
    parser.add_argument("--bundle", default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--steps", type=int, help="instead of the preset's")
    parser.add_argument("--size", type=int, default=192, help="pixels of an ε's frames")
    parser.add_argument("--epsilon", type=cases, default="1x1,1x4,1x8,4x4", help="instances x frames, ...")
    parser.add_argument("--edit", type=cases, default="1x4,4x4", help="instances x frames, ...")
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    lines = []
    for line in tables(options):
        lines.append(line)
        print(line, flush=True)
    if options.table:
        options.table.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
