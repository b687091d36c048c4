"""Triton kernels as machine code for any GPU, made without one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mive.attention.launch import Launch

Argument = Tensor | int | float

WIDE: Final = 16
"""Bytes. Tensors of three or more dimensions must begin at a multiple of it: the code reads so much at a time."""

_POINTERS: Final = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int32: "*i32",
    torch.int64: "*i64",
    torch.bool: "*i1",
}

_SCRATCH: Final = ("global_scratch_size", "profile_scratch_size")
"""Triton's own buffers, whose addresses follow the arguments; these kernels need none."""


@dataclass(frozen=True)
class MachineCode:
    """A compiled launch.

    Attributes:
        cubin: an ELF file for one kind of GPU.
        name: of the kernel in it.
        shared: bytes of shared memory of a program.
        threads: of a program.
        arguments: those of the launch that the code still takes, in order; the others are compiled in.
        scratch: addresses that follow them, which may be null.
        ptx: what it was assembled from.
    """

    cubin: bytes
    name: str
    shared: int
    threads: int
    arguments: tuple[Argument, ...]
    scratch: int
    ptx: str


def machine_code(launch: Launch, capability: tuple[int, int]) -> MachineCode:
    """Compile a launch as Triton's JIT would: ones are constants, and multiples of 16 are known to be such.

    Args:
        launch: its tensors may lie on the device "meta".
        capability: of the GPU, such as (8, 9).
    """
    values = iter(launch.arguments)
    signature: dict[str, str] = {}
    constants: dict[tuple[int, ...], Argument] = {}
    facts: dict[tuple[int, ...], list[list[object]]] = {}
    kept: list[Argument] = []
    for index, parameter in enumerate(launch.kernel.params):
        value = launch.constants[parameter.name] if parameter.is_constexpr else next(values)
        if parameter.is_constexpr or is_one(value):
            signature[parameter.name], constants[index,] = "constexpr", value
            continue
        kept.append(value)
        signature[parameter.name] = type_of(value)
        if is_aligned(value):
            facts[index,] = [["tt.divisibility", 16]]
    source = ASTSource(launch.kernel, signature, constants, facts)
    target = GPUTarget("cuda", capability[0] * 10 + capability[1], 32)
    with triton.knobs.compilation.scope():
        # They name folders of this machine, and take more room than the code.
        triton.knobs.compilation.disable_line_info = True
        built = triton.compile(source, target=target, options={"num_warps": launch.warps})
    assert not any(getattr(built.metadata, name) for name in _SCRATCH)
    return MachineCode(
        built.asm["cubin"],
        built.metadata.name,
        built.metadata.shared,
        launch.warps * target.warp_size,
        tuple(kept),
        len(_SCRATCH),
        built.asm["ptx"],
    )


def type_of(value: Argument) -> str:
    """Triton's name for an argument's type; of a tensor, its pointer's."""
    if isinstance(value, Tensor):
        return _POINTERS[value.dtype]
    if isinstance(value, float):
        return "fp32"
    return "i32" if -(2**31) <= value < 2**31 else "i64"


def is_one(value: Argument) -> bool:
    """Whether an argument is the integer 1, which is compiled in."""
    return isinstance(value, int) and value == 1


def is_aligned(value: Argument) -> bool:
    """Whether the code relies on an argument being a multiple of 16."""
    if isinstance(value, Tensor):
        return value.dim() >= 3
    return isinstance(value, int) and value % 16 == 0
