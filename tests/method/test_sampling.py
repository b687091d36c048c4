"""The sampler against models whose answer is known, and against itself in every order and grouping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor

from mive.attention.ipr import IprStrength, ipr_strength
from mive.errors import EngineError
from mive.method.denoiser import Call, Conditions
from mive.method.sampling import Edits, Sampler, Savings, State, invert
from mive.method.schedule import NoiseSchedule, make_grids
from mive.method.solvers import USUAL_SOLVER, Solver
from mive.plans import PLANS, alternate

SCHEDULE = NoiseSchedule.from_config(
    {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
)
GRIDS = make_grids(SCHEDULE, 10, 20)
CAPTIONS = {"": 0.0, "red": 1.5, "blue": -1.5, "green": 0.7}


@dataclass
class CaptionModel:
    """The exact ε of Gaussian data whose mean the caption names; counts the items it is asked for."""

    seen: Counter[str] = field(default_factory=Counter)
    calls: list[Call] = field(default_factory=list)

    def output(self, call: Call, conditions: Conditions) -> Tensor:
        self.calls.append(call)
        self.seen.update(call.captions)
        alpha = SCHEDULE.alpha(call.t)
        mean = torch.tensor([CAPTIONS[c] for c in call.captions], device=call.z.device).view(-1, 1, 1, 1, 1)
        if call.joint:
            owners = conditions.owners[call.z.shape[-2], call.z.shape[-1]]
            mean = torch.cat([mean, torch.zeros_like(mean[:1])]).flatten()[owners][None, :, None]
        spread = alpha * 0.04 + 1 - alpha
        return (1 - alpha) ** 0.5 * (call.z - alpha**0.5 * mean) / spread


def steered(s: int, t: int, steps: int, items: Sequence[int], /) -> IprStrength:
    return ipr_strength(s, steps, [0.4] * len(items), 0.6)


def sampler(
    model: CaptionModel,
    captions: tuple[str, ...] = ("red", "blue"),
    per_forward: int = 1,
    steps: int = 10,
    solver: Solver = USUAL_SOLVER,
    savings: Savings = Savings(),  # noqa: B008 (it cannot change)
) -> Sampler:
    z_0 = 0.2 * torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    masks = torch.zeros(len(captions), 3, 1, 8, 8)
    for i in range(len(captions)):
        masks[i, :, :, 1:5, 2 * i : 2 * i + 2] = 1
    many = len(captions)
    edits = Edits(captions, (3.0,) * many, steered, per_forward=per_forward)
    grids = solver.grids(SCHEDULE, steps, 2 * steps)
    inverted = invert(z_0, grids, SCHEDULE, model, solver=solver)
    model.seen.clear()
    model.calls.clear()
    conditions = Conditions(masks={(8, 8): masks[:, :, 0].bool()})
    return Sampler(model, SCHEDULE, grids, edits, conditions, masks, inverted, solver=solver, savings=savings)


def finish(run: Sampler, plan_name: str = "mive", state: State | None = None) -> Tensor:
    steps = len(run.grids.sampling)
    *_, last = run.run(alternate(steps, PLANS[plan_name], round(0.8 * steps)), state)
    assert last.fused is not None
    return last.fused


@pytest.mark.parametrize("plan", ["mive", "lps_only", "nps_only", "no_reinversion", "reinvert_2d"])
def test_each_instance_goes_where_its_caption_says(plan: str) -> None:
    run = sampler(CaptionModel())
    z = finish(run, plan)
    inside = [(z * m).sum() / m.sum() / z.shape[1] for m in run.masks]
    assert inside[0] > 1
    assert inside[1] < -1


def drift(run: Sampler, plan_name: str) -> float:
    """How far the background ends from the source, at most."""
    outside = (1 - run.masks.sum(0)) * (finish(run, plan_name) - run.inverted[None])
    return float(outside.abs().max())


def test_lps_leaves_the_background_alone() -> None:
    assert drift(sampler(CaptionModel()), "lps_only") < 1e-5


def test_nps_moves_the_background_by_the_error_of_the_grid_only() -> None:
    """ñ is the noise of the inverted latents, so what is left is DDIM's, which falls with the length of a step."""
    drifts = [drift(sampler(CaptionModel(), steps=steps), "nps_only") for steps in (10, 20, 50)]
    assert drifts[0] > 1.4 * drifts[1] > 1.4**2 * drifts[2]
    assert drifts[2] < 0.2


@pytest.mark.parametrize("per_forward", [2, 3, 16])
def test_grouping_instances_changes_nothing(per_forward: int) -> None:
    captions = ("red", "blue", "green")
    alone = finish(sampler(CaptionModel(), captions))
    together = finish(sampler(CaptionModel(), captions, per_forward))
    assert torch.allclose(alone, together, atol=1e-5)


def test_resuming_anywhere_gives_the_same_latents() -> None:
    plan = alternate(10, PLANS["mive"], 8)
    states = list(sampler(CaptionModel()).run(plan))
    assert states[-1].fused is not None
    for state in states[:-1:5]:
        assert torch.equal(finish(sampler(CaptionModel()), state=state), states[-1].fused)


def test_nps_shares_its_unconditional_pass_and_keeps_the_background_noise() -> None:
    """M + 1 items per NPS step, one more for each distinct t of ñ; a first LPS step shares its pass too."""
    model = CaptionModel()
    run = sampler(model)
    plan = alternate(10, PLANS["mive"], 8)
    finish(run)
    kinds = Counter(type(step).__name__ for step in plan)
    distinct = {step.s for step in plan if type(step).__name__ == "Nps"}
    assert model.seen["red"] == model.seen["blue"] == kinds["Lps"] + kinds["Nps"]
    # every LPS run has one step here, so its latents are shared and so is its unconditional pass
    assert model.seen[""] == kinds["Lps"] + kinds["Nps"] + len(distinct) + kinds["Reinvert"]


def test_background_noise_has_no_control_and_reinversion_has() -> None:
    model = CaptionModel()
    finish(sampler(model))
    uncontrolled = [call for call in model.calls if not call.control]
    assert all(call.inflated and call.captions == ("",) for call in uncontrolled)
    assert len(uncontrolled) == len({call.t for call in uncontrolled})


def test_only_conditional_items_are_modulated_and_only_early() -> None:
    model = CaptionModel()
    finish(sampler(model))
    for call in model.calls:
        for caption, instance in zip(call.captions, call.instances, strict=True):
            assert caption or instance is None
    early = [call for call in model.calls if call.t == GRIDS.sampling[0] and any(call.captions)]
    assert all(call.modulation is not None for call in early)


def test_an_instance_may_have_its_own_guidance() -> None:
    run = sampler(CaptionModel())
    weak = replace(run.edits, guidance=(0.0, 3.0))
    other = sampler(CaptionModel())
    other.edits = weak
    z, z_weak = finish(run, "lps_only"), finish(other, "lps_only")
    first, second = run.masks
    assert ((z - z_weak) * first).abs().max() > 0.5
    assert ((z - z_weak) * second).abs().max() == 0


def test_all_latents_stay_on_their_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device stands for a GPU: it computes nothing, and mixes with CPU tensors as little."""
    monkeypatch.setattr("mive.method.finite.Finiteness.settle", lambda asked, later=0: None)
    run = sampler(CaptionModel())
    here = State(0, run.inverted[GRIDS.sampling[0]])
    run.masks = run.masks.to("meta")
    run.inverted = {t: z.to("meta") for t, z in run.inverted.items()}
    run.edits = replace(run.edits, per_forward=2)
    assert finish(run, state=here.mapped(lambda z: z.to("meta"))).device.type == "meta"


def test_latents_that_blow_up_are_an_error() -> None:
    run = sampler(CaptionModel())
    run.edits = replace(run.edits, guidance=(float("inf"), 1.0))
    with pytest.raises(EngineError, match="no longer finite"):
        finish(run)
