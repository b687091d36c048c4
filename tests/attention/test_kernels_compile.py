"""The kernels as machine code for every supported GPU, built as the wrappers launch them; no GPU is needed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.attention.agreement import DTYPES, HEADS

from mive.attention.ipr import IprStrength
from mive.networks.tokens import TokenRoles

triton = pytest.importorskip("triton")
flow = pytest.importorskip("mive.attention.flow.triton")
ipr = pytest.importorskip("mive.attention.ipr.triton")

KIB = 1024
SHARED_MEMORY = {80: 163 * KIB, 86: 99 * KIB, 89: 99 * KIB, 90: 227 * KIB, 120: 99 * KIB}
"""What one block may have on GPUs of each compute capability (CUDA Programming Guide, technical specifications)."""

GRID = (2**31 - 1, 65535, 65535)
TYPES = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int64: "*i64",
    torch.bool: "*i1",
}


class Launches:
    """Stands for a kernel and keeps what it is launched with."""

    def __init__(self, kernel: Any, into: list[tuple[Any, dict[str, Any]]]) -> None:
        self.kernel, self.into = kernel, into

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        assert all(size <= most for size, most in zip(grid, GRID, strict=True))
        return lambda *args, **named: self.into.append(
            (self.kernel, dict(zip(self.kernel.arg_names, args, strict=False)) | named)
        )


def launches(dim: int, dtype: torch.dtype, frames: int) -> list[tuple[Any, dict[str, Any]]]:
    """What the wrappers launch for two instances of 8 heads at 64 x 64: measure, attend, and follow twice."""
    into: list[tuple[Any, dict[str, Any]]] = []
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((ipr, "measure"), (ipr, "attend"), (flow, "follow")):
            patch.setattr(module, name, Launches(getattr(module, name), into))
        q = torch.empty(2 * frames, 4096, 8, dim, dtype=dtype).transpose(1, 2)
        k, v = (torch.empty(2, 77, 8, dim, dtype=dtype).transpose(1, 2) for _ in range(2))
        mask = torch.empty(2 * frames, 4096, dtype=torch.bool)
        strength = IprStrength(torch.tensor(1.0), torch.ones(2), torch.tensor(0.6))
        ipr.ipr_attention(q, k, v, mask, TokenRoles(torch.tensor([2, 3])), strength)
        q, h = (torch.empty(2, frames * 4096, 8, dim, dtype=dtype).transpose(1, 2) for _ in range(2))
        paths = torch.empty(frames * 4096, frames, dtype=torch.int64)
        flow.flow_attention(h, h, h, paths)
        flow.flow_attention(q, q, h, paths)
    return into


def build(kernel: Any, arguments: dict[str, Any], capability: int) -> Any:
    """Compile as the JIT does: ones are constants, and multiples of 16 are known to be such."""
    options = {"num_warps": arguments.pop("num_warps")}
    signature, constants, facts = {}, {}, {}
    for index, parameter in enumerate(kernel.params):
        value = arguments[parameter.name]
        if parameter.is_constexpr or (isinstance(value, int) and value == 1):
            signature[parameter.name], constants[(index,)] = "constexpr", value
            continue
        number = value.data_ptr() if isinstance(value, torch.Tensor) else value
        if isinstance(number, int) and number % 16 == 0:
            facts[(index,)] = [["tt.divisibility", 16]]
        kinds = {float: "fp32", int: "i32"}
        signature[parameter.name] = TYPES[value.dtype] if isinstance(value, torch.Tensor) else kinds[type(value)]
    source = triton.compiler.ASTSource(kernel, signature, constants, facts)
    target = triton.backends.compiler.GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options=options)


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
    for kernel, arguments in launches(dim, dtype, frames):
        built = build(kernel, arguments, capability)
        assert built.metadata.shared <= SHARED_MEMORY[capability], kernel
        assert spilled(built.asm["cubin"], folder) <= 64, kernel
        assert "ld.global.v4.b32" in built.asm["ptx"], kernel


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
