"""A way to steer attention that MIVE does not know: it needs these methods, and no change anywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tests.networks import sd15
from torch import Tensor

from mive.attention.modulation import Modulation
from mive.attention.roles import TokenRoles
from mive.engines.torch_engine import TorchEngine
from mive.method.denoiser import Conditions
from mive.method.sampling import Edits, Sampler, Steering, invert
from mive.method.schedule import make_grids
from mive.networks.bundle import load_bundle
from mive.plans import Lps

MASKS = torch.zeros(2, 2, 8, 8, dtype=torch.bool)
MASKS[0, :, :4], MASKS[1, :, 5:] = True, True


@dataclass(frozen=True)
class Walls(Modulation):
    """Lowers the logits of what does not belong together: an instance and other words, an instance and the rest."""

    height: Tensor
    name = "walls"
    steers_self = True

    def cross_attention(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, roles: TokenRoles, /) -> Tensor:
        return self._attend(q, k, v, mask[:, None, :, None] & ~roles.text(k.shape[2])[:, None, None])

    def self_attention(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, /) -> Tensor:
        inside = mask.flatten(1)
        return self._attend(q, k, v, inside[:, None, :, None] != inside[:, None, None])

    def rows(self, index: Tensor | slice) -> Walls:
        return Walls(self.height[index])

    def to(self, device: torch.device) -> Walls:
        return Walls(self.height.to(device))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, apart: Tensor) -> Tensor:
        logits = q @ k.mT * q.shape[-1] ** -0.5
        return (logits - self.height.view(-1, 1, 1, 1) * apart).softmax(-1) @ v


def walls(*heights: float) -> Steering:
    """A height for each instance."""

    def steer(s: int, t: int, steps: int, items: Sequence[int], /) -> Walls:
        return Walls(torch.tensor([heights[i] for i in items]))

    return steer


def unsteered(*_: object) -> None:
    """Attention stays as it is."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> TorchEngine:
    return TorchEngine(load_bundle(sd15.save_sd15(tmp_path_factory.mktemp("bundle"))))


@pytest.fixture(scope="module")
def conditions(engine: TorchEngine) -> Conditions:
    frames = np.random.default_rng(0).random((2, 64, 64, 3), dtype=np.float32)
    mattes = (matte.float().numpy() for matte in MASKS.transpose(0, 1))
    return engine.conditions(frames, mattes, "none", None, "nearest")


def one_step(engine: TorchEngine, conditions: Conditions, steering: Steering, *, modulated: bool) -> Tensor:
    """[M, N, C, h, w] after the noisiest step, both instances in one forward."""
    grids, schedule = make_grids(engine.bundle.schedule, 4, 4), engine.bundle.schedule
    z_0 = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    edits = Edits(("a red ball", "a blue cube"), (4.0, 4.0), steering, per_forward=2)
    masks = MASKS[:, :, None].float()
    sampler = Sampler(engine, schedule, grids, edits, conditions, masks, invert(z_0, grids, schedule, engine))
    *_, state = sampler.run((Lps(0, modulated=modulated),))
    assert state.instances is not None
    return state.instances


def test_it_acts_in_modulated_steps_on_each_instance_by_its_own_height(
    engine: TorchEngine, conditions: Conditions
) -> None:
    plain = one_step(engine, conditions, unsteered, modulated=True)
    first, both = (
        (one_step(engine, conditions, walls(*heights), modulated=True) - plain).abs().amax((1, 2, 3, 4))
        for heights in ((30.0, 0.0), (30.0, 30.0))
    )
    assert first[0] > 1e-4
    assert first[1] < 1e-5
    assert (both > 1e-4).all()


def test_other_steps_are_as_if_there_were_none(engine: TorchEngine, conditions: Conditions) -> None:
    plain, walled = (
        one_step(engine, conditions, steering, modulated=False) for steering in (unsteered, walls(30.0, 30.0))
    )
    assert torch.equal(plain, walled)


@pytest.mark.parametrize("part", ["cross_attention", "self_attention"])
def test_both_kinds_of_attention_are_steered(
    engine: TorchEngine, conditions: Conditions, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    attend = getattr(Walls, part)

    def watched(self: Walls, q: Tensor, *others: Tensor) -> Tensor:
        seen.append(tuple(q.shape))
        return attend(self, q, *others)  # type: ignore[no-any-return]

    monkeypatch.setattr(Walls, part, watched)
    one_step(engine, conditions, walls(30.0, 30.0), modulated=True)
    assert seen
