"""What a window's sampler begins with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mive.editing.samplers import first_latents, make_sampler
from mive.engines.torch_engine import TorchEngine
from mive.method.sampling import Sampler
from mive.method.solvers import SOLVERS
from mive.networks.bundle import load_bundle
from mive.networks.unet.inflation import attention_sizes
from mive.request import EditRequest, Instance, Settings


def test_a_variation_stays_inside_the_mattes() -> None:
    settings = Settings(variation=0.8, model_size=64)
    instances = (Instance(id=1, caption="a cube"), Instance(id=2, caption="a ball"))
    request = EditRequest(clip="clip.mkv", mattes="mattes", instances=instances, settings=settings)
    masks = torch.zeros(2, 3, 1, 8, 8)
    masks[0, ..., :4], masks[1, ..., 6:] = 1, 1
    latents = first_latents(request, settings.resolved({}), torch.zeros(3, 4, 8, 8), masks)
    assert latents is not None
    assert torch.equal((latents != 0).all(2, keepdim=True), masks.bool())


@pytest.fixture(scope="module")
def engine(bundle: Path) -> TorchEngine:
    return TorchEngine(load_bundle(bundle))


def made(engine: TorchEngine, **settings: object) -> Sampler:
    """The sampler of two frames of two instances."""

    def mattes() -> Iterator[NDArray[np.float32]]:
        for _ in range(2):
            alpha = np.zeros((2, 64, 64), np.float32)
            alpha[0, :32], alpha[1, 40:] = 1, 1
            yield alpha

    asked = Settings(model_size=64, **settings).resolved({})  # type: ignore[arg-type]
    instances = (Instance(id=1, caption="a cube"), Instance(id=2, caption="a ball"))
    request = EditRequest(clip="clip.mkv", mattes="mattes", instances=instances)
    conditions = engine.conditions(np.zeros((2, 64, 64, 3), np.float32), mattes(), "none", None, "nearest")
    grids = SOLVERS[asked.solver].grids(engine.bundle.schedule, asked.steps, asked.inversion_steps)
    return make_sampler(request, asked, engine, grids, conditions, torch.zeros(2, 4, 8, 8))


def test_other_frames_are_pooled_at_the_two_finest_sizes_if_asked_for(engine: TorchEngine) -> None:
    sizes = attention_sizes(engine.bundle.unet, (8, 8))
    assert len(sizes) > 2
    assert made(engine).conditions.pooled == frozenset()
    assert made(engine, frame_attention="pooled").conditions.pooled == set(sizes[:2])


def test_the_solver_is_the_settings(engine: TorchEngine) -> None:
    assert made(engine, solver="dpmpp_2m").solver is SOLVERS["dpmpp_2m"]
