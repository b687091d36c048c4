"""The kernels behind a program's custom nodes, compiled and packed for the library of plugins.

The library knows nothing of attention: it is told what to launch, and where each parameter comes from. Both sides of
the format are here and in plugins/src/kernels.cpp; another format needs another `mive_trt.nodes.PLUGIN_VERSION`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import torch
from torch import Tensor

from mive.attention.flow.triton import flow_launch
from mive.attention.ipr.triton import ipr_launches, partial_of
from mive.attention.launch import Launch
from mive.attention.machine_code import WIDE, Argument, MachineCode, is_aligned, machine_code, type_of
from mive_trt.executor import Port
from mive_trt.flavour import Capability
from mive_trt.nodes import FLOW, IPR, PLUGIN_VERSION

MAGIC: Final = f"MIVEKRN{PLUGIN_VERSION}".encode()

_FORMATS: Final = {"i32": "<i4x", "i64": "<q", "fp32": "<f4x"}


class Source(IntEnum):
    """Where a parameter's value comes from."""

    INPUT = 0
    OUTPUT = 1
    WORKSPACE = 2
    NUMBER = 3
    NULL = 4


class When(IntEnum):
    """Whether a launch happens, which hangs on two inputs being the same memory."""

    ALWAYS = 0
    IF_SAME = 1
    IF_DIFFERENT = 2


class Node(NamedTuple):
    """A custom node of a program.

    Attributes:
        chosen: the op and its attribute, such as "IPRCrossAttention;bounded=0".
        inputs: of fixed sizes.
    """

    chosen: str
    inputs: tuple[Port, ...]

    def key(self, types: Mapping[torch.dtype, int]) -> str:
        """What the library asks kernels by; ``types`` are TensorRT's numbers."""
        ports = (f"{types[dtype]}:{','.join(map(str, shape))}" for shape, dtype in self.inputs)
        return ";".join([self.chosen, *ports])


class Parameter(NamedTuple):
    """A kernel's parameter.

    Attributes:
        place: of an input among them.
        value: the 8 bytes of a number, or what an address must be a multiple of.
    """

    source: Source
    place: int
    value: int


class Step(NamedTuple):
    """A launch of an op; ``between`` are the inputs that ``when`` looks at."""

    launch: Launch
    when: When = When.ALWAYS
    between: tuple[int, int] = (0, 0)


class Work(NamedTuple):
    """What an op does, with tensors that have no memory.

    Attributes:
        workspace: memory that only its kernels use; None if they need none.
    """

    steps: tuple[Step, ...]
    inputs: tuple[Tensor, ...]
    output: Tensor
    workspace: Tensor | None = None


def pack(node: Node, capability: Capability) -> bytes:
    """Compile a node's kernels for one kind of GPU, and pack them with all that launching them takes."""
    work = work_of(node)
    size = 0 if work.workspace is None else work.workspace.numel() * work.workspace.element_size()
    packed = [MAGIC, struct.pack("<QI", size, len(work.steps))]
    for step in work.steps:
        code = machine_code(step.launch, capability)
        parameters = parameters_of(code, work)
        packed.append(struct.pack("<8I", step.when, *step.between, *step.launch.grid, code.threads, code.shared))
        packed += [_counted(code.name.encode()), _counted(code.cubin), struct.pack("<I", len(parameters))]
        packed += [struct.pack("<IIQ", *parameter) for parameter in parameters]
    return b"".join(packed)


def work_of(node: Node) -> Work:
    """What a node does."""
    op, _, attribute = node.chosen.partition(";")
    inputs = tuple(torch.empty(port.shape, dtype=port.dtype, device="meta") for port in node.inputs)
    return _OPS[op](inputs, attribute)


def parameters_of(code: MachineCode, work: Work) -> list[Parameter]:
    """Where each of a kernel's parameters comes from, in order."""
    return [*(_parameter(value, work) for value in code.arguments), *[Parameter(Source.NULL, 0, 0)] * code.scratch]


def _ipr(inputs: tuple[Tensor, ...], attribute: str) -> Work:
    q, k, v, mask, n_text, warm_up, t_ratio, lambda_r = inputs
    h, partial = torch.empty_like(q), partial_of(q, k)
    steering = (n_text, t_ratio, warm_up, lambda_r)
    launches = ipr_launches(q, k, v, h, mask, partial, steering, bounded=attribute == "bounded=1")
    return Work(tuple(map(Step, launches)), inputs, h, partial)


def _flow(inputs: tuple[Tensor, ...], attribute: str) -> Work:
    q, k, v, trajectories = inputs
    h = torch.empty_like(q)
    one, two = (flow_launch(q, k, v, h, trajectories, same=same) for same in (True, False))
    return Work((Step(one, When.IF_SAME, (1, 2)), Step(two, When.IF_DIFFERENT, (1, 2))), inputs, h)


_OPS: Final[Mapping[str, Callable[[tuple[Tensor, ...], str], Work]]] = {IPR: _ipr, FLOW: _flow}


def _parameter(value: Argument, work: Work) -> Parameter:
    if not isinstance(value, Tensor):
        kind = type_of(value)
        return Parameter(Source.NUMBER, 0, int.from_bytes(struct.pack(_FORMATS[kind], value), "little"))
    multiple = WIDE if is_aligned(value) else 1
    if value is work.output:
        return Parameter(Source.OUTPUT, 0, multiple)
    if value is work.workspace:
        return Parameter(Source.WORKSPACE, 0, multiple)
    return Parameter(Source.INPUT, _place(value, work.inputs), multiple)


def _place(value: Tensor, inputs: Sequence[Tensor]) -> int:
    return next(index for index, x in enumerate(inputs) if x is value)


def _counted(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content
