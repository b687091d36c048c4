"""What the method costs on a GPU at Stable Diffusion 1.5's size: peaks, ε, where its time goes, a whole plan.

    python benchmarks/gpu/method.py --out DIR [--seconds 150] [--small]

Writes method.md and method.json. ``--small`` tries the script on a CPU.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch
from stand_in import SCHEDULE, Shape, StandIn, stand_in
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from mive.attention.ipr import ipr_strength
from mive.method.denoiser import Call, Conditions
from mive.method.sampling import Edits, Sampler, Savings, State
from mive.method.solvers import SOLVERS
from mive.plans import PLANS, Fuse, Lps, Nps, PlanStep, alternate

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "attention": ("flash", "fmha", "sdpa", "attention"),
    "MIVE's kernels": ("attend", "measure", "follow"),
    "group norm": ("rowwisemoments", "groupnorm", "group_norm"),
    "layer norm": ("layer_norm", "layernorm"),
    "copies": ("direct_copy", "nchwtonhwc", "nhwctonchw", "transpose", "memcpy", "catarray"),
    "convolutions, products": ("gemm", "cutlass", "conv", "nvjet", "xmma", "cudnn"),
    "elementwise": ("elementwise", "vectorized"),
}
"""What kernels do, by words in their names; the first kind that fits counts."""


class Report:
    """Lines of Markdown and the figures in them, printed as they come."""

    def __init__(self, out: Path, seconds: float) -> None:
        self._out, self._ends = out, time.monotonic() + seconds
        self.lines: list[str] = []
        self.figures: dict[str, float] = {}

    def say(self, line: str = "", **figures: float) -> None:
        print(line, flush=True)
        self.lines.append(line)
        self.figures.update(figures)
        (self._out / "method.md").write_text("\n".join(self.lines) + "\n")
        (self._out / "method.json").write_text(json.dumps(self.figures, indent=1))

    @property
    def left(self) -> float:
        """Seconds until nothing new is begun."""
        return self._ends - time.monotonic()


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def milliseconds(work: Callable[[], object], device: torch.device, times: int = 5, warm_up: int = 2) -> float:
    """Median of ``times`` runs, each waited for."""
    spent = []
    for number in range(warm_up + times):
        wait(device)
        began = time.perf_counter()
        work()
        wait(device)
        if number >= warm_up:
            spent.append(1000 * (time.perf_counter() - began))
    return sorted(spent)[times // 2]


def peaks(report: Report, device: torch.device) -> None:
    """What the machine can do at most: a large matrix product, a large copy."""
    side = 8192 if device.type == "cuda" else 512
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    flops = 2 * side**3 / milliseconds(lambda: a @ b, device, 10) / 1e9
    x = torch.empty(side**2 * 32, device=device, dtype=torch.uint8)
    y = torch.empty_like(x)
    copied = 2 * x.numel() / milliseconds(lambda: y.copy_(x), device) / 1e9
    report.say(f"Matrix product {flops:.0f} TFLOP/s, copy {copied:.2f} TB/s.", peak=flops, copy=copied)


def dense_attention(report: Report, shot: StandIn, device: torch.device) -> None:
    """Self-attention over all frames, as the U-Net's two finest levels do it."""
    frames, side = shot.shape.frames, shot.shape.side
    dtype = shot.engine.dtype
    report.say("\n| self-attention over all frames | ms | useful TFLOP/s |\n|---|---|---|")
    for cells, size in ((side, 40), (side // 2, 80)):
        tokens = frames * cells**2
        q, k, v = (torch.randn(1, 8, tokens, size, device=device, dtype=dtype) for _ in range(3))
        spent = milliseconds(lambda q=q, k=k, v=v: F.scaled_dot_product_attention(q, k, v), device, 3)  # type: ignore[misc]
        rate = 4 * tokens**2 * 8 * size / spent / 1e9
        report.say(
            f"| {cells} × {cells}, heads of {size} | {spent:.2f} | {rate:.0f} |", **{f"attention {cells}": spent}
        )


def pooled_calls(shot: StandIn) -> dict[str, tuple[Call, Conditions]]:
    """The evaluations that the preset "fast" is made of, besides those that it shares with others."""
    count = len(shot.captions)
    everyone = Call(shot.latents(1), 501, shot.captions, tuple(range(count)),
                    ipr_strength(1, 50, [0.4] * (count + 1), [0.6] * (count + 1)), joint=True)  # fmt: skip
    return {
        "1 item, frames pooled": (shot.call(1, guided=False), shot.conditions),
        "2 items, frames pooled": (shot.call(2), shot.conditions),
        "1 item of all captions, frames pooled": (everyone, shot.conditions),
    }


def calls(shot: StandIn) -> dict[str, tuple[Call, Conditions]]:
    """The evaluations that a plan is made of."""
    conditions = shot.conditions
    return {
        "plain 2D, 8 frames (inversion)": (shot.plain_call(), Conditions()),
        "1 item, no control (ñ)": (shot.call(1, control=False, guided=False), conditions),
        "1 item (re-inversion, unconditional NPS)": (shot.call(1, guided=False), conditions),
        "2 items (LPS)": (shot.call(2), conditions),
        "4 items": (shot.call(4), conditions),
    }


def epsilons(report: Report, shot: StandIn, device: torch.device, made: Mapping[str, tuple[Call, Conditions]]) -> None:
    report.say("\n| ε | ms | the host is done after | peak memory, GiB |\n|---|---|---|---|")
    for name, (call, conditions) in made.items():
        if report.left < 15:
            return
        spent = milliseconds(lambda c=call, e=conditions: shot.engine.output(c, e), device, 3)  # type: ignore[misc]
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        shot.engine.output(call, conditions)
        host = 1000 * (time.perf_counter() - began)
        wait(device)
        peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan")
        report.say(f"| {name} | {spent:.1f} | {host:.1f} | {peak:.1f} |", **{name: spent})


def kind_of(kernel: str) -> str:
    name = kernel.lower()
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "other")


def profiles(report: Report, shot: StandIn, device: torch.device) -> None:
    """Where an ε's time goes, by kind of kernel."""
    for name in ("2 items (LPS)", "plain 2D, 8 frames (inversion)"):
        call, conditions = calls(shot)[name]
        shot.engine.output(call, conditions)
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
            shot.engine.output(call, conditions)
            wait(device)
        events = [e for e in seen.key_averages() if e.device_type.name == "CUDA" and e.self_device_time_total > 0]
        kinds: dict[str, float] = defaultdict(float)
        for event in events:
            kinds[kind_of(event.key)] += event.self_device_time_total / 1000
        total = sum(kinds.values())
        launches = sum(event.count for event in events)
        shares = ", ".join(f"{k} {v:.1f} ({v / total:.0%})" for k, v in sorted(kinds.items(), key=lambda x: -x[1]))
        report.say(f"\n{name}: {total:.1f} ms in {launches} kernels. ms: {shares}.", **{f"kernels, {name}": launches})


def sampler_of(shot: StandIn, *, fast: bool = False) -> Sampler:
    """A sampler of the paper's 50 steps, or of what the preset "fast" is made of."""
    solver = SOLVERS["dpmpp_2m" if fast else "ddim"]
    grids = solver.grids(SCHEDULE, 10 if fast else 50, 10 if fast else 100)
    z = shot.latents()
    # Random weights lead nowhere, so inverted latents need not come from an inversion.
    inverted: dict[int | None, Tensor] = {t: torch.randn_like(z) for t in grids.sampling}
    inverted[None] = z
    edits = Edits(shot.captions, (12.5,) * len(shot.captions), lambda s, t, steps, _: ipr_strength(s, steps, 0.4, 0.6))
    return Sampler(
        shot.engine, SCHEDULE, grids, edits, shot.conditions, shot.masks, inverted, solver=solver,
        savings=Savings(joint=fast, pasted=fast),
    )  # fmt: skip


def plan_of(sampler: Sampler) -> tuple[PlanStep, ...]:
    steps = len(sampler.grids.sampling)
    return alternate(steps, PLANS["mive"], round(0.8 * steps))


def waits(report: Report, sampler: Sampler, name: str) -> None:
    """Run the first steps of a plan, where whatever waits for the GPU is an error."""
    states = sampler.run(plan_of(sampler))
    with torch.inference_mode():
        # Kernels are compiled in the first steps of each kind.
        for _ in range(12):
            next(states)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(4):
                next(states)
        except RuntimeError as error:
            report.say(f"\n{name}: a step waits for the GPU: {str(error).splitlines()[0]}", **{f"waits, {name}": 1})
        else:
            report.say(f"\n{name}: no step waits for the GPU.", **{f"waits, {name}": 0})
        finally:
            torch.cuda.set_sync_debug_mode("default")


def whole_plan(report: Report, shot: StandIn, device: torch.device, until: float, *, fast: bool = False) -> None:
    """A plan of 50 steps, or of the preset "fast": each kind of step timed a few times, the rest reckoned from them.

    Args:
        until: how many seconds to leave to what comes next.
    """
    shape, sampler = shot.shape, sampler_of(shot, fast=fast)
    grids, plan = sampler.grids, plan_of(sampler)
    spent: dict[str, list[float]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    known: set[int] = set()
    state = State(0, sampler.inverted[grids.sampling[0]])
    for step in plan:
        kind = step_kind(step, state, known)
        counts[kind] += 1
        if (len(spent[kind]) < 3 and report.left > until) or isinstance(step, Fuse):
            wait(device)
            began = time.perf_counter()
            with torch.inference_mode():
                state = sampler._advance(step, state)
            wait(device)
            spent[kind].append(time.perf_counter() - began)
        elif isinstance(step, Lps) and state.fused is not None:
            state = State(state.position + 1, None, state.fused.expand(shape.instances, *state.fused.shape).clone())
    plain, conditions = calls(shot)["plain 2D, 8 frames (inversion)"]
    forward = milliseconds(lambda: shot.engine.output(plain, conditions), device, 3) / 1000
    total = len(grids.inversion) * forward * shape.frames / plain.z.shape[1]
    inversions = len(grids.inversion)
    report.say("\n| step | times | seconds each |\n|---|---|---|")
    report.say(f"| inversion | {inversions} | {total / inversions:.3f} |")
    for kind, count in counts.items():
        each = sum(spent[kind]) / max(1, len(spent[kind]))
        total += count * each
        report.say(f"| {kind} | {count} | {each:.3f} |")
    share = total / shape.instances / shape.frames
    report.say(
        f"\nThe whole plan of {len(grids.sampling)} steps, {shape.instances} instances, {shape.frames} frames: "
        f"{total:.1f} s, {share:.3f} s per instance and frame.",
        **{"fast plan" if fast else "plan": total},
    )


def step_kind(step: PlanStep, state: State, known: set[int]) -> str:
    """What a step's cost depends on beside its class; ``known`` holds the steps whose ñ is there."""
    name = type(step).__name__
    if isinstance(step, Lps) and state.instances is None:
        return f"{name}, latents still common"
    if isinstance(step, Nps) and step.s not in known:
        known.add(step.s)
        return f"{name}, with a new ñ"
    return name


def main() -> None:
    parser = argparse.ArgumentParser(description="What the method costs on a GPU, at Stable Diffusion 1.5's size.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=150, help="begin nothing new after so many")
    parser.add_argument("--small", action="store_true", help="small networks, to try the script")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    report = Report(options.out, options.seconds)
    shape = Shape(2, 3, 16, small=True) if options.small else Shape()
    shot = stand_in(shape, device, dtype)
    where = torch.cuda.get_device_name() if device.type == "cuda" else "a CPU"
    report.say(
        f"On {where}, torch {torch.__version__}, {str(dtype)[6:]}: {shape.instances} instances, {shape.frames} frames, "
        f"{shape.side} × {shape.side} latents{', small networks' if shape.small else ''}.\n"
    )
    peaks(report, device)
    dense_attention(report, shot, device)
    epsilons(report, shot, device, calls(shot))
    if device.type == "cuda":
        profiles(report, shot, device)
        waits(report, sampler_of(shot), "the exact method")
    whole_plan(report, shot, device, 0.4 * options.seconds)
    del shot
    report.say('\nThe preset "fast":')
    shot = stand_in(shape, device, dtype, fast=True)
    epsilons(report, shot, device, pooled_calls(shot))
    if device.type == "cuda":
        waits(report, sampler_of(shot, fast=True), 'the preset "fast"')
    whole_plan(report, shot, device, 5, fast=True)


if __name__ == "__main__":
    main()
