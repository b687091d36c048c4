"""The bodies of the custom nodes, as onnxruntime computes them, against the references."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.trt.small import flow_inputs, ipr_inputs, write_program

from mive.attention.flow import flow_attention
from mive.attention.ipr import IprStrength, ipr_attention
from mive.attention.roles import TokenRoles
from mive.settings import LambdaS
from mive_trt.nodes import FLOW, IPR
from mive_trt.ort import OnnxExecutor

CLOSE = 1e-5


@pytest.mark.parametrize("mode", ["literal", "bounded"])
@pytest.mark.parametrize("frames", [1, 2])
def test_ipr(mode: LambdaS, frames: int, tmp_path: Path) -> None:
    given = ipr_inputs(frames=frames)
    file = write_program(IPR, given, tmp_path / "ipr.onnx", bounded=int(mode == "bounded"))
    rows = torch.arange(3).repeat_interleave(frames)
    strength = IprStrength(given["t_ratio"], given["warm_up"], given["lambda_r"], mode)
    roles = TokenRoles(given["n_text"].long())
    wanted = ipr_attention(
        given["q"], given["k"][rows], given["v"][rows], given["mask"], roles.rows(rows), strength.rows(rows)
    )
    made = OnnxExecutor().load(file).run(given)["h"]
    assert torch.allclose(made, wanted, atol=CLOSE)


@pytest.mark.parametrize("frames", [2, 3])
def test_flow_attention(frames: int, tmp_path: Path) -> None:
    given = flow_inputs(frames=frames)
    file = write_program(FLOW, given, tmp_path / "flow.onnx")
    wanted = flow_attention(given["q"], given["k"], given["v"], given["trajectories"].long())
    assert torch.allclose(OnnxExecutor().load(file).run(given)["h"], wanted, atol=CLOSE)
