"""How far onnxruntime's results of an exported program are from the network's own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import torch
from tests.trt.eager import EagerPrograms
from torch import Tensor

from mive.networks.bundle import Bundle
from mive_trt.buckets import Bucket
from mive_trt.executor import Kind
from mive_trt.export import export_program
from mive_trt.nodes import DOMAIN
from mive_trt.ort import OnnxExecutor
from mive_trt.programs import input_ports


def agreement(bundle: Bundle, kind: Kind, bucket: Bucket, folder: Path) -> tuple[float, Counter[str]]:
    """Export a float32 program and run it in both ways.

    Returns:
        The largest difference as a share of an output's largest number, and how many custom nodes of which kind.
    """
    given = some_inputs(bundle, kind, bucket)
    with torch.inference_mode():
        wanted = EagerPrograms(bundle).get(kind, bucket).run(given)
    exported = export_program(bundle, kind, bucket, folder)
    program = OnnxExecutor().load(exported.path)
    assert program.inputs == exported.inputs == input_ports(bundle, kind, bucket, torch.float32)
    made = program.run(given)
    assert set(made) == set(wanted) == set(exported.outputs)
    error = max(float((made[name] - x).abs().max() / x.abs().max()) for name, x in wanted.items())
    graph = onnx.load(exported.path, load_external_data=False).graph
    return error, Counter(node.op_type for node in graph.node if node.domain == DOMAIN)


def some_inputs(bundle: Bundle, kind: Kind, bucket: Bucket) -> dict[str, Tensor]:
    """Random ones that a program may be given; the mask of the last item's last frame is empty."""
    generator = torch.Generator().manual_seed(0)
    given: dict[str, Tensor] = {}
    for name, (shape, dtype) in input_ports(bundle, kind, bucket, torch.float32).items():
        if dtype == torch.bool:
            given[name] = torch.rand(shape, generator=generator) > 0.6
            given[name][-1, -1] = False
        elif name == "n_text":
            given[name] = torch.randint(0, 12, shape, generator=generator, dtype=dtype)
        elif name == "trajectories":
            tokens, frames = shape
            given[name] = torch.randint(-1, tokens, shape, generator=generator, dtype=dtype)
            own = torch.arange(tokens)
            given[name][own, own // (tokens // frames)] = own.to(dtype)
        elif name in ("t_ratio", "lambda_r", "control_scale"):
            given[name] = torch.rand(shape, generator=generator)
        else:
            given[name] = torch.randn(shape, generator=generator)
    if "t" in given:
        given["t"] = torch.tensor([281.0])
    return given
