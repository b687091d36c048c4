"""What instances may share: passes are saved, and where no pixel sees another nothing is changed by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from tests.method.test_sampling import CaptionModel, finish, sampler
from torch import Tensor

from mive.attention.ipr import IprStrength
from mive.attention.modulation import Modulation
from mive.attention.roles import TokenRoles
from mive.errors import EngineError
from mive.method.sampling import Savings
from mive.plans import PLANS, Lps, Nps, Reinvert, alternate

CAPTIONS = ("red", "blue", "green")
EACH = [Savings(joint=True), Savings(pasted=True), Savings(joint=True, pasted=True)]


def name(savings: Savings) -> str:
    return "+".join(word for word in ("joint", "pasted") if getattr(savings, word)) or "none"


@pytest.mark.parametrize("savings", EACH, ids=name)
@pytest.mark.parametrize("plan", ["mive", "lps_only", "nps_only", "no_reinversion", "reinvert_2d"])
def test_a_model_that_looks_at_single_pixels_is_not_changed(savings: Savings, plan: str) -> None:
    """Each instance by its own guidance."""
    results = []
    for chosen in (Savings(), savings):
        run = sampler(CaptionModel(), CAPTIONS, steps=20, savings=chosen)
        run.edits = replace(run.edits, guidance=(3.0, 1.0, 5.0))
        results.append(finish(run, plan))
    torch.testing.assert_close(results[1], results[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("savings", [Savings(), *EACH], ids=name)
def test_passes_are_saved(savings: Savings) -> None:
    model = CaptionModel()
    run = sampler(model, CAPTIONS, steps=20, savings=savings)
    plan = alternate(20, PLANS["mive"], 16)
    finish(run)
    kinds = Counter(type(step) for step in plan)
    # The latents of the first LPS of a run are common, so that its unconditional pass is one anyway.
    first = sum(1 for a, b in zip((None, *plan), plan, strict=False) if isinstance(b, Lps) and not isinstance(a, Lps))
    background = len({step.s for step in plan if isinstance(step, Nps)})
    own = kinds[Lps] - first
    assert own > 0
    assert sum(len(call.z) for call in model.calls) == (
        3 * kinds[Lps] + first + own * (1 if savings.pasted else 3)
        + kinds[Nps] * (1 if savings.joint else 3) + kinds[Nps] + background
        + kinds[Reinvert]
    )  # fmt: skip


def test_joint_passes_are_steered_by_all_instances() -> None:
    model = CaptionModel()
    finish(sampler(model, CAPTIONS, savings=Savings(joint=True)))
    joint = [call for call in model.calls if call.joint]
    assert {call.captions for call in joint} == {CAPTIONS}
    assert all(len(call.z) == 1 for call in joint)
    early = [call for call in joint if call.modulation is not None]
    assert {call.instances for call in early} == {(0, 1, 2)}
    assert {call.instances for call in joint if call.modulation is None} == {(None, None, None)}
    strength = early[0].modulation
    assert isinstance(strength, IprStrength)
    assert strength.warm_up.shape == (4,), "one more for the pixels of no instance"


@dataclass(frozen=True)
class SelfSteering(Modulation):
    name = "walls"
    steers_self = True

    def cross_attention(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, roles: TokenRoles, /) -> Tensor:
        raise NotImplementedError


def test_what_steers_self_attention_by_one_instance_is_refused() -> None:
    def steer(s: int, t: int, steps: int, items: Sequence[int], /) -> SelfSteering:
        return SelfSteering()

    run = sampler(CaptionModel(), savings=Savings(joint=True))
    run.edits = replace(run.edits, steering=steer)
    with pytest.raises(EngineError, match=r'"walls" steers self-attention.*nps_passes') as caught:
        finish(run)
    assert caught.value.field == "settings.nps_passes"


@pytest.mark.parametrize("savings", [Savings(), *EACH], ids=name)
def test_items_of_the_same_latents_say_so(savings: Savings) -> None:
    """An engine may then compute once what hangs on latents alone; a wrong token would give wrong pixels."""
    model = CaptionModel()
    finish(sampler(model, CAPTIONS, per_forward=2, steps=20, savings=savings))
    seen: dict[object, tuple[Tensor, int]] = {}
    shared = 0
    for call in model.calls:
        assert not call.latents or len(call.latents) == len(call.z)
        for token, z in zip(call.latents, call.z, strict=False):
            if token in seen:
                shared += 1
                assert torch.equal(seen[token][0], z)
                assert seen[token][1] == call.t
            seen[token] = (z, call.t)
    nps = sum(isinstance(step, Nps) for step in alternate(20, PLANS["mive"], 16))
    assert shared >= nps * (1 if savings.joint else 3)
