"""The kernels as machine code for every supported GPU, built as the wrappers launch them; no GPU is needed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import torch
from tests.attention.agreement import DTYPES, HEADS

from mive.attention.launch import Launch

triton = pytest.importorskip("triton")
flow = pytest.importorskip("mive.attention.flow.triton")
ipr = pytest.importorskip("mive.attention.ipr.triton")
machine_code = pytest.importorskip("mive.attention.machine_code").machine_code

KIB = 1024
SHARED_MEMORY = {80: 163 * KIB, 86: 99 * KIB, 89: 99 * KIB, 90: 227 * KIB, 120: 99 * KIB}
"""What one block may have on GPUs of each compute capability (CUDA Programming Guide, technical specifications)."""

GRID = (2**31 - 1, 65535, 65535)


def launches(dim: int, dtype: torch.dtype, frames: int) -> list[Launch]:
    """What the wrappers launch for two instances of 8 heads at 64 x 64: measure, attend, and follow twice."""
    meta = torch.device("meta")
    q, h = (torch.empty(2 * frames, 4096, 8, dim, dtype=dtype, device=meta).transpose(1, 2) for _ in range(2))
    k, v = (torch.empty(2, 77, 8, dim, dtype=dtype, device=meta).transpose(1, 2) for _ in range(2))
    mask = torch.empty(2 * frames, 4096, dtype=torch.bool, device=meta)
    n_text = torch.empty(2, dtype=torch.int64, device=meta)
    t_ratio, warm_up, lambda_r = (torch.empty(rows, device=meta) for rows in (1, 2, 1))
    steering = (n_text, t_ratio, warm_up, lambda_r)
    made = list(ipr.ipr_launches(q, k, v, h, mask, ipr.partial_of(q, k), steering, bounded=False))
    q, k, h = (torch.empty(2, frames * 4096, 8, dim, dtype=dtype, device=meta).transpose(1, 2) for _ in range(3))
    paths = torch.empty(frames * 4096, frames, dtype=torch.int64, device=meta)
    made += [flow.flow_launch(q, k, k, h, paths, same=same) for same in (True, False)]
    assert all(size <= most for launch in made for size, most in zip(launch.grid, GRID, strict=True))
    return made


def spilled(cubin: bytes, folder: Path) -> int:
    """Bytes of each thread's numbers that found no register."""
    path = folder / "kernel.cubin"
    path.write_bytes(cubin)
    tool = triton.knobs.nvidia.cuobjdump.path
    usage = subprocess.run([tool, "--dump-resource-usage", path], check=True, capture_output=True, text=True).stdout
    found = re.search(r"STACK:(\d+)", usage)
    assert found
    return int(found[1])


def check(dim: int, dtype: torch.dtype, capability: int, frames: int, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Every kernel fits, keeps its numbers in registers and reads 16 bytes at a time."""
    patch.setenv("TRITON_CACHE_DIR", str(folder))
    for launch in launches(dim, dtype, frames):
        built = machine_code(launch, divmod(capability, 10))
        assert built.shared <= SHARED_MEMORY[capability], built.name
        assert spilled(built.cubin, folder) <= 64, built.name
        assert "ld.global.v4.b32" in built.ptx, built.name


@pytest.mark.parametrize("capability", [86])
def test_the_commonest_head_size_builds(capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(40, torch.float16, capability, 4, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("capability", SHARED_MEMORY)
def test_every_head_size_builds(
    capability: int, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dim in HEADS:
        check(dim, dtype, capability, 4, tmp_path, monkeypatch)


@pytest.mark.slow
def test_one_frame_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sizes and strides of one are constants to the compiler."""
    check(40, torch.float16, 80, 1, tmp_path, monkeypatch)
