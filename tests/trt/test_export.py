"""Exported programs: their nodes, and onnxruntime's results beside the networks' own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.trt.agreement import agreement

from mive.engines.torch_engine import TorchEngine
from mive.networks.bundle import Bundle, load_bundle
from mive_trt.buckets import Bucket
from mive_trt.executor import Kind
from mive_trt.nodes import FLOW, IPR
from mive_trt.programs import KINDS

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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bucket", [Bucket(2, 3, 8, 12), Bucket(3, 1, 8, 8)], ids=["3 frames", "1 frame"])
def test_onnxruntime_agrees_with_the_networks(bundle: Bundle, kind: Kind, bucket: Bucket, tmp_path: Path) -> None:
    error, nodes = agreement(bundle, kind, bucket, tmp_path)
    assert error <= CLOSE
    if kind == "unet":
        assert nodes[IPR] == sum(name.endswith("attn2.to_q") for name, _ in bundle.unet.named_modules())
        assert (nodes[FLOW] > 0) == (bucket.frames > 1)
    else:
        assert not nodes


def test_the_tiny_bundle_too(tiny: Bundle, tmp_path: Path) -> None:
    error, nodes = agreement(tiny, "unet", Bucket(2, 2, 24, 24), tmp_path)
    assert error <= CLOSE
    assert nodes == {IPR: 10, FLOW: 3}
