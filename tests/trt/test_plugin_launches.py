"""What plugins launch: the torch wrappers' own kernels and numbers, as the driver sees them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.attention.agreement import Run, agree
from tests.attention.conftest import interpreter as interpreter
from tests.trt.cubin_table import Place, parameter_table
from tests.trt.plugin_host import STREAM, WORKSPACE, Launched, node_of, number, real, run
from tests.trt.small import flow_inputs, ipr_inputs
from torch import Tensor

from mive.attention.flow import flow_attention
from mive.attention.ipr import IprStrength, ipr_attention
from mive.attention.launch import Launch
from mive.attention.machine_code import is_one, machine_code, type_of
from mive.attention.roles import TokenRoles
from mive_trt import cubins
from mive_trt.cubins import Node, Work, parameters_of, work_of
from mive_trt.nodes import FLOW, IPR

DTYPES = [torch.float16, torch.float32, torch.bfloat16]
AMPERE, ADA = (8, 6), (8, 9)


def address(value: Tensor, work: Work) -> int:
    """Where the host has a tensor."""
    if value is work.workspace:
        return WORKSPACE
    places = [*work.inputs, work.output]
    return 4096 * (next(index for index, x in enumerate(places) if x is value) + 1)


def expected(launch: Launch, work: Work) -> list[Any]:
    """The values of a kernel's own parameters: what torch passes, less what is compiled in."""
    return [address(x, work) if isinstance(x, Tensor) else x for x in launch.arguments if not is_one(x)]


def check(launched: Launched, launch: Launch, work: Work) -> None:
    code = machine_code(launch, AMPERE)
    assert (launched.kernel, launched.grid, launched.shared) == (code.name, launch.grid, code.shared)
    assert launched.block == (32 * launch.warps, 1, 1)
    assert launched.stream == STREAM
    *own, first_scratch, second_scratch = launched.parameters
    assert number(first_scratch) == number(second_scratch) == 0
    for got, value in zip(own, expected(launch, work), strict=True):
        if isinstance(value, float):
            assert real(got) == pytest.approx(value)
        else:
            assert number(got) == value


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_ipr_launches_both_kernels_in_order(dtype: torch.dtype, tmp_path: Path) -> None:
    node = node_of(IPR, dtype, pixels=130, dim=40)
    work = work_of(node)
    done = run(node, [AMPERE], tmp_path)
    launched = done.launches()
    assert [each.kernel for each in launched] == ["measure", "attend"] * 3
    for each, step in zip(launched, work.steps * 3, strict=True):
        check(each, step.launch, work)
    assert work.workspace is not None
    assert f"workspace {4 * work.workspace.numel()}" in done.said


def test_more_shared_memory_than_usual_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = cubins.machine_code
    monkeypatch.setattr(cubins, "machine_code", lambda *given: replace(compiled(*given), shared=60_000))
    done = run(node_of(FLOW), [AMPERE], tmp_path)
    (_, _, attribute, size), *_ = done.of("shared")
    assert (attribute, size) == ("8", "60000"), "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES"
    assert {launched.shared for launched in done.launches()} == {60_000}


@pytest.mark.parametrize("same", [True, False])
def test_flow_attention_reads_points_once_where_values_are_keys(same: bool, tmp_path: Path) -> None:
    node = node_of(FLOW, dim=40, pixels=64)
    work = work_of(node)
    done = run(node, [AMPERE], tmp_path, {"HOST_SAME": "1"} if same else {})
    launched = done.launches()
    assert len(launched) == 3
    assert {each.module % 2 for each in launched} == {1 if same else 0}
    if not same:
        check(launched[0], work.steps[1].launch, work)
    assert "workspace 0" in done.said


@pytest.mark.parametrize("capability", [(8, 0), AMPERE, ADA, (12, 0)], ids=str)
@pytest.mark.parametrize(
    "node", [node_of(IPR, dim=40), node_of(FLOW), node_of(FLOW, frames=1)], ids=["IPR", "flow", "1"]
)
def test_parameters_lie_where_the_machine_code_looks_for_them(node: Node, capability: tuple[int, int]) -> None:
    work = work_of(node)
    for step in work.steps:
        code = machine_code(step.launch, capability)
        table = parameter_table(code.cubin, code.name)
        sizes = [4 if type_of(value) in ("i32", "fp32") else 8 for value in code.arguments] + [8] * code.scratch
        assert len(parameters_of(code, work)) == len(sizes)
        offset, places = 0, []
        for size in sizes:
            offset = -(-offset // size) * size
            places.append(Place(offset, size))
            offset += size
        assert table.places == places
        assert table.size == offset


class At(int):
    """An address among numbers."""


def as_torch_would_pass(launched: Launched, launch: Launch) -> list[Any]:
    """All of a kernel's arguments, those that are not compiled in as the driver got them."""
    own = iter(launched.parameters)

    def value(argument: Any) -> Any:
        if is_one(argument):
            return 1
        got = next(own)
        return (
            At(number(got))
            if isinstance(argument, Tensor)
            else real(got)
            if isinstance(argument, float)
            else number(got)
        )

    return [value(argument) for argument in launch.arguments]


Call = tuple[str, tuple[int, int, int], list[Any], dict[str, Any]]
"""A kernel's name, its grid, its arguments, its constants."""


def replay(launches: list[Call], memory: dict[int, Tensor]) -> Tensor:
    """Launch kernels on ``memory``, tensors by address, where they are interpreted; what is then in the last."""
    from mive.attention.flow.triton import follow
    from mive.attention.ipr.triton import attend, measure

    kernels = {"measure": measure, "attend": attend, "follow": follow}
    for name, grid, arguments, constants in launches:
        kernels[name][grid](*(memory[x] if isinstance(x, At) else x for x in arguments), **constants)
    return list(memory.values())[-1]


@pytest.mark.parametrize("op", [IPR, FLOW])
def test_what_the_driver_got_computes_what_the_reference_does(op: str, interpreter: Run, tmp_path: Path) -> None:
    """All but the machine code and the GPU."""
    sizes = {"pixels": 70, "dim": 40}
    given = {IPR: ipr_inputs, FLOW: flow_inputs}[op](**sizes)
    node = node_of(op, torch.float32, **sizes)
    work = work_of(node)
    launched = run(node, [AMPERE], tmp_path).launches()[: 2 if op == IPR else 1]
    steps = work.steps if op == IPR else work.steps[1:]
    launches = [
        (each.kernel, each.grid, as_torch_would_pass(each, step.launch), dict(step.launch.constants))
        for each, step in zip(launched, steps, strict=True)
    ]
    memory = dict(zip(range(4096, 2**20, 4096), given.values(), strict=False))
    if work.workspace is not None:
        memory[WORKSPACE] = torch.full(work.workspace.shape, torch.nan)
    memory[address(work.output, work)] = torch.full(work.output.shape, torch.nan)
    agree(interpreter(replay, launches, memory), reference(op, given))


def reference(op: str, given: dict[str, Tensor]) -> Tensor:
    if op == FLOW:
        return flow_attention(given["q"], given["k"], given["v"], given["trajectories"].long())
    rows = torch.arange(len(given["k"])).repeat_interleave(len(given["q"]) // len(given["k"]))
    strength = IprStrength(given["t_ratio"], given["warm_up"], given["lambda_r"], "bounded")
    roles = TokenRoles(given["n_text"].long())
    k, v = given["k"][rows], given["v"][rows]
    return ipr_attention(given["q"], k, v, given["mask"], roles.rows(rows), strength.rows(rows))
