"""The attention kernels on a GPU: milliseconds against their references and against what torch needs without them.

    python benchmarks/attention_kernels.py [--table docs/measurements/kernels_gpu.md]

First runs the kernels' tests on the GPU, and stops if one fails. "torch" is the floor: for IPR plain attention
by F.scaled_dot_product_attention, for flow-guided attention the same on keys and values gathered beforehand.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mive.attention import flow, ipr
from mive.attention.kernels import kernels_for, obstacle
from mive.attention.modulation import Kernels
from mive.attention.roles import TokenRoles
from mive.conditions.trajectories import trajectories
from mive.engines.devices import choose_device

TESTS = ["test_ipr_triton", "test_flow_triton"] + ["test_kernels_in_networks"] * bool(find_spec("diffusers"))
LEVELS = [(64, 40), (32, 80), (16, 160)]
"""Side and head size of Stable Diffusion 1.5's attention for 512 pixels, each with 8 heads."""
HEADS = 8
TOKENS = 77
HEADER = (
    "| op | side | d | items | frames | kernel ms | reference ms | torch ms "
    "| kernel GB/s | kernel TFLOP/s | kernel MiB | reference MiB |\n" + "|---" * 12 + "|"
)


class Case(NamedTuple):
    """One row: what identifies it, three ways to compute it, and the least bytes and the operations it takes."""

    name: str
    kernel: Callable[[], Tensor]
    reference: Callable[[], Tensor]
    floor: Callable[[], Tensor]
    bytes: int
    operations: int


def random(*shape: int) -> Tensor:
    """float16 on the GPU, [B, tokens, heads, d] seen as [B, heads, tokens, d]."""
    return torch.randn(*shape, dtype=torch.float16, device="cuda").transpose(1, 2)


def ipr_case(kernels: Kernels, side: int, dim: int, items: int, frames: int) -> Case:
    """A guided batch: half of the items are conditional, each with a square instance of a quarter of the frame."""
    rows = items * frames
    q = random(rows, side * side, HEADS, dim)
    k, v = (random(rows, TOKENS, HEADS, dim) for _ in range(2))
    mask = torch.zeros(rows, side, side, dtype=torch.bool, device="cuda")
    mask[: rows // 2, : side // 2, : side // 2] = True
    roles = TokenRoles(torch.full((1,), 5, device="cuda"))
    strength = ipr.ipr_strength(1, 50, 0.4, 0.6).to(q.device)
    arguments = (q, k, v, mask.flatten(1), roles, strength)
    return Case(
        f"IPR | {side} | {dim} | {items} | {frames}",
        lambda: kernels.ipr_attention(*arguments),
        lambda: ipr.ipr_attention(*arguments),
        lambda: F.scaled_dot_product_attention(q, k, v),
        2 * (2 * q.numel() + 2 * k.numel()),
        4 * q.numel() * TOKENS,
    )


def flow_case(kernels: Kernels, side: int, dim: int, items: int, frames: int) -> Case:
    """Q = K = V = h along trajectories of a clip in slow, uneven motion."""
    moved = F.interpolate(torch.randn(frames - 1, 2, 4, 4) * 12, (8 * side, 8 * side), mode="bilinear")
    paths = trajectories(moved, (side, side)).cuda()
    h = random(items, frames * side * side, HEADS, dim)
    gathered = h[:, :, paths.clamp(min=0)]
    there = (paths >= 0)[None, None, :, None]
    return Case(
        f"flow | {side} | {dim} | {items} | {frames}",
        lambda: kernels.flow_attention(h, h, h, paths),
        lambda: flow.flow_attention(h, h, h, paths),
        lambda: F.scaled_dot_product_attention(h[:, :, :, None], gathered, gathered, attn_mask=there)[:, :, :, 0],
        2 * 2 * h.numel() + 8 * paths.numel(),
        4 * h.numel() * frames,
    )


def peak(compute: Callable[[], Tensor]) -> float:
    """MiB that one call holds at most, its result included."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    compute()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def row(case: Case) -> str:
    """Time one case, after a last check that kernel and reference agree."""
    from triton.testing import do_bench

    expected = case.reference().float()
    assert (case.kernel().float() - expected).abs().max() <= 2e-3 * expected.abs().max(), case.name
    kernel, reference, floor = (
        float(do_bench(compute, return_mode="median")) for compute in (case.kernel, case.reference, case.floor)
    )
    return (
        f"| {case.name} | {kernel:.3f} | {reference:.3f} | {floor:.3f} | {case.bytes / kernel / 1e6:.0f} "
        f"| {case.operations / kernel / 1e9:.1f} | {peak(case.kernel):.0f} | {peak(case.reference):.0f} |"
    )


def main() -> None:
    """Run the tests, then every case, and print the table."""
    parser = argparse.ArgumentParser(description="The attention kernels on a GPU.")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--tested", action="store_true", help="the tests were run just now")
    options = parser.parse_args()
    device = choose_device("auto")
    kernels = kernels_for(device)
    if kernels is None:
        sys.exit(f"This needs an NVIDIA GPU that torch can use, with Triton and pytest. Here: {obstacle(device)}.")
    root = Path(__file__).parents[1]
    tests = [f"tests/attention/{name}.py" for name in TESTS]
    if not options.tested:
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-k", "cuda or gpu", *tests], check=True, cwd=root)

    import triton

    torch.manual_seed(0)
    lines = [
        f"`python benchmarks/attention_kernels.py` on {torch.cuda.get_device_name()}, torch {torch.__version__}, "
        f"Triton {triton.__version__}; float16, {HEADS} heads, {TOKENS} tokens, medians.\n\n{HEADER}"
    ]
    print(lines[0])
    cases = [(ipr_case, side, dim, items, 8) for side, dim in LEVELS for items in (2, 8)]
    cases += [(flow_case, *LEVELS[0], 2, frames) for frames in (4, 8, 16)]
    for make, *shape in cases:
        lines.append(row(make(kernels, *shape)))
        print(lines[-1], flush=True)
    if options.table:
        options.table.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
