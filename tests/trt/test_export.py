"""Exported programs: their nodes, and onnxruntime's results beside the networks' own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest
import torch
from tests.trt.eager import EagerPrograms
from torch import Tensor

from mive.engines.torch_engine import TorchEngine
from mive.networks.bundle import Bundle, load_bundle
from mive_trt.buckets import Bucket
from mive_trt.executor import Kind
from mive_trt.export import export_program
from mive_trt.nodes import DOMAIN, FLOW, IPR
from mive_trt.ort import OnnxExecutor
from mive_trt.programs import KINDS, input_ports

pytestmark = pytest.mark.slow

CLOSE = 1e-4


@pytest.fixture(scope="module")
def bundle(saved: Path) -> Bundle:
    """Random weights."""
    loaded = load_bundle(saved)
    TorchEngine(loaded)
    return loaded


@pytest.fixture(scope="module")
def tiny() -> Bundle:
    loaded = load_bundle("tiny")
    TorchEngine(loaded)
    return loaded


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


def check(bundle: Bundle, kind: Kind, bucket: Bucket, folder: Path) -> Counter[str]:
    """Export, run in both ways, compare; how many nodes of which kind."""
    exported = export_program(bundle, kind, bucket, folder)
    program = OnnxExecutor().load(exported.path)
    assert program.inputs == exported.inputs == input_ports(bundle, kind, bucket, torch.float32)
    given = some_inputs(bundle, kind, bucket)
    made = program.run(given)
    with torch.inference_mode():
        wanted = EagerPrograms(bundle).get(kind, bucket).run(given)
    assert set(made) == set(wanted) == set(exported.outputs)
    for name, x in wanted.items():
        assert (made[name] - x).abs().max() <= CLOSE * x.abs().max(), name
    graph = onnx.load(exported.path, load_external_data=False).graph
    return Counter(node.op_type for node in graph.node if node.domain == DOMAIN)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bucket", [Bucket(2, 3, 8, 12), Bucket(3, 1, 8, 8)], ids=["3 frames", "1 frame"])
def test_onnxruntime_agrees_with_the_networks(bundle: Bundle, kind: Kind, bucket: Bucket, tmp_path: Path) -> None:
    nodes = check(bundle, kind, bucket, tmp_path)
    if kind == "unet":
        assert nodes[IPR] == sum(name.endswith("attn2.to_q") for name, _ in bundle.unet.named_modules())
        assert (nodes[FLOW] > 0) == (bucket.frames > 1)
    else:
        assert not nodes


def test_the_tiny_bundle_too(tiny: Bundle, tmp_path: Path) -> None:
    assert check(tiny, "unet", Bucket(2, 2, 24, 24), tmp_path) == {IPR: 10, FLOW: 3}
