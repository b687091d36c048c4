"""Programs of a single custom node, which take a moment to build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

from mive_trt.nodes import DOMAIN, FLOW, IPR, OPSET, PLUGIN_VERSION, bodies

_TYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.float16: TensorProto.FLOAT16,
    torch.bool: TensorProto.BOOL,
    torch.int32: TensorProto.INT32,
}
PLUGIN = {"plugin_version": PLUGIN_VERSION, "plugin_namespace": DOMAIN}


def write_program(op: str, inputs: Mapping[str, Tensor], file: Path, **attributes: Any) -> Path:
    """A file with one node, whose result has the first input's shape."""
    node = helper.make_node(op, list(inputs), ["h"], domain=DOMAIN, **PLUGIN, **attributes)
    values = [helper.make_tensor_value_info(name, _TYPES[x.dtype], x.shape) for name, x in inputs.items()]
    first = next(iter(inputs.values()))
    graph = helper.make_graph(
        [node], "small", values, [helper.make_tensor_value_info("h", _TYPES[first.dtype], first.shape)]
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=bodies(), ir_version=11)
    onnx.checker.check_model(model)
    onnx.save(model, file)
    return file


def ipr_inputs(items: int = 3, frames: int = 2, heads: int = 2, pixels: int = 12, dim: int = 8) -> dict[str, Tensor]:
    """Of a random cross-attention to 9 tokens; the second frame's mask is empty, the first caption has no text."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand((items * frames, pixels), generator=generator) > 0.5
    mask[1] = False
    return {
        "q": torch.randn((items * frames, heads, pixels, dim), generator=generator) * 2,
        "k": torch.randn((items, heads, 9, dim), generator=generator),
        "v": torch.randn((items, heads, 9, dim), generator=generator),
        "mask": mask,
        "n_text": torch.tensor([0, 3, 7][:items], dtype=torch.int32),
        "warm_up": torch.tensor([0.0, 0.3, 0.1][:items]),
        "t_ratio": torch.tensor([1.0, 0.5, 0.2][:items]),
        "lambda_r": torch.tensor([0.6, 0.6, 1.0][:items]),
    }


def flow_inputs(items: int = 2, frames: int = 3, heads: int = 2, pixels: int = 8, dim: int = 8) -> dict[str, Tensor]:
    """Of random tokens; every trajectory holds its own token."""
    generator = torch.Generator().manual_seed(0)
    tokens = frames * pixels
    q, k, v = (torch.randn((items, heads, tokens, dim), generator=generator) for _ in range(3))
    paths = torch.randint(-1, tokens, (tokens, frames), generator=generator, dtype=torch.int32)
    paths[:, 0] = torch.arange(tokens)
    return {"q": q, "k": k, "v": v, "trajectories": paths}


def write_ipr(file: Path, dtype: torch.dtype = torch.float32) -> Path:
    """A program that is IPR alone."""
    return write_program(IPR, _cast(ipr_inputs(), dtype), file, bounded=0)


def write_flow(file: Path, dtype: torch.dtype = torch.float32) -> Path:
    """A program that is flow-guided attention alone."""
    return write_program(FLOW, _cast(flow_inputs(), dtype), file)


def _cast(inputs: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Queries, keys and values in a dtype."""
    return {name: x.to(dtype) if x.dim() == 4 else x for name, x in inputs.items()}
