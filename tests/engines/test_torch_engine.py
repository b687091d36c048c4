"""The torch engine: what it computes once, where its tensors live, and how it runs out of memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.networks import sd15

from mive.attention.dense_diffusion import DenseDiffusion
from mive.attention.ipr import ipr_strength
from mive.attention.modulation import Modulation
from mive.engines.torch_engine import TorchEngine
from mive.errors import OutOfMemory
from mive.method.denoiser import Call, Conditions
from mive.networks.bundle import Bundle, load_bundle

FRAMES = np.random.default_rng(0).random((2, 64, 64, 3), dtype=np.float32)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sd15.save_sd15(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def bundle(saved: Path) -> Bundle:
    return load_bundle(saved)


def mattes() -> Iterator[NDArray[np.float32]]:
    """Two frames of two instances, one at a time."""
    for _ in range(2):
        alpha = np.zeros((2, 64, 64), np.float32)
        alpha[0, :32], alpha[1, 40:] = 1, 1
        yield alpha


def look(engine: TorchEngine) -> Conditions:
    return engine.conditions(FRAMES, mattes(), "dis", "flatten", "nearest")


def call(modulation: Modulation | None) -> Call:
    """Both instances and their unconditional branch, on noise."""
    z = torch.randn(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return Call(z, 501, ("a red ball", "a blue cube", ""), (0, 1, None), modulation)


def test_two_engines_may_share_a_bundle(bundle: Bundle) -> None:
    """The hint is embedded once, whoever took the embedding out of the ControlNet first."""
    engines = [TorchEngine(bundle) for _ in range(2)]
    hints = [look(engine).hint for engine in engines]
    assert hints[0] is not None
    assert hints[1] is not None
    assert hints[0].shape == (2, sd15.LEVELS[0], 8, 8)
    assert torch.equal(hints[0], hints[1])


def test_the_control_scale_is_heeded(bundle: Bundle) -> None:
    plain = replace(call(None), control=False)
    weak, firm = TorchEngine(bundle, 0.0), TorchEngine(bundle, 1.0)
    conditions = look(firm)
    torch.testing.assert_close(weak.output(call(None), conditions), weak.output(plain, conditions))
    assert (firm.output(call(None), conditions) - weak.output(call(None), conditions)).abs().max() > 1e-4


@pytest.mark.parametrize(
    "modulation", [ipr_strength(1, 20, [0.4, 0.4, 0.2], 0.6), DenseDiffusion(900)], ids=["ipr", "dd"]
)
def test_what_comes_from_the_cpu_meets_the_networks_on_their_device(bundle: Bundle, modulation: Modulation) -> None:
    """The meta device stands for a GPU: it computes nothing, and mixes with CPU tensors as little."""
    here = TorchEngine(bundle)
    conditions = look(here)
    here.output(call(modulation), conditions)  # encodes the captions, which needs values
    there = torch.device("meta")
    engine = TorchEngine(bundle)
    engine.device = there
    engine._captions = {caption: (states.to(there), n) for caption, (states, n) in here._captions.items()}
    for network in (bundle.unet, bundle.controlnet):
        network.to(there)
    assert conditions.hint is not None
    moved = Conditions(
        conditions.hint.to(there),
        {size: masks.to(there) for size, masks in conditions.masks.items()},
        {size: paths.to(there) for size, paths in conditions.trajectories.items()},
    )
    wanted = call(modulation)
    output = engine.output(replace(wanted, z=wanted.z.to(there)), moved)
    assert output.device.type == "meta"
    assert output.shape == wanted.z.shape


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
    ids=["gpu", "cpu"],
)
def test_out_of_memory_says_what_to_do(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, error: RuntimeError) -> None:
    engine = TorchEngine(bundle)
    conditions = look(engine)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(bundle.unet, "forward", fail)
    monkeypatch.setattr(bundle.vae, "encode", fail)
    monkeypatch.setattr(bundle.vae, "decode", fail)
    for attempt in (
        lambda: engine.output(call(None), conditions),
        lambda: engine.encode(FRAMES),
        lambda: engine.decode(torch.zeros(1, 4, 8, 8)),
    ):
        with pytest.raises(OutOfMemory, match="smaller window"):
            attempt()
