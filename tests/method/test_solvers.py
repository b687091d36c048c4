"""Solvers against diffusers, against answers in closed form, and within plans that replace latents."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from hypothesis import given
from hypothesis import strategies as st
from tests.method.test_sampling import CaptionModel, drift, finish, sampler
from tests.method.test_schedule import SD, GaussianModel
from torch import Tensor

from mive.errors import BundleError
from mive.method.denoiser import Call, Conditions
from mive.method.sampling import Sampler, State, invert
from mive.method.schedule import Grids, NoiseSchedule, log_snr_grids, make_grids
from mive.method.solvers import SOLVERS, Past, ddim, dpmpp_2m
from mive.plans import PLANS, Fuse, Lps, Nps, Reinvert, alternate

SCHEDULE = NoiseSchedule.from_config(SD)
FEWER = SOLVERS["dpmpp_2m"]
Noise = Callable[[Tensor, int], Tensor]


def random_noise(seed: int) -> Noise:
    """A smooth function of latents and timestep that is no model of anything."""
    generator = torch.Generator().manual_seed(seed)
    mix, shift = torch.randn(4, 4, generator=generator), torch.randn(4, generator=generator)

    def noise(z: Tensor, t: int) -> Tensor:
        return torch.sin(torch.einsum("cd,ndhw->nchw", mix, z) + (shift * t / 200).view(4, 1, 1))

    return noise


def sampled(schedule: NoiseSchedule, grids: Grids, z: Tensor, noise: Noise) -> Tensor:
    past = None
    for s, t in enumerate(grids.sampling):
        z, past = dpmpp_2m(schedule, z, schedule.epsilon(noise(z, t), z, t), t, grids.before(s), past)
    return z


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("steps", [1, 2, 14])
@pytest.mark.parametrize("to_one", [False, True], ids=["alpha_0", "one"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("grid", [make_grids, log_snr_grids], ids=["even t", "even log-SNR"])
def test_dpm_solver_is_that_of_diffusers(
    grid: Callable[[NoiseSchedule, int, int], Grids], prediction: str, to_one: bool, steps: int, seed: int
) -> None:
    config = {**SD, "prediction_type": prediction, "set_alpha_to_one": to_one}
    schedule = NoiseSchedule.from_config(config)
    grids, noise = grid(schedule, steps, steps), random_noise(seed)
    theirs = DPMSolverMultistepScheduler(
        beta_start=SD["beta_start"], beta_end=SD["beta_end"], beta_schedule="scaled_linear", prediction_type=prediction,
        final_sigmas_type="zero" if to_one else "sigma_min",
    )  # fmt: skip
    theirs.set_timesteps(timesteps=list(grids.sampling))
    z = start = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(seed))
    for t in theirs.timesteps:
        z = theirs.step(noise(z, int(t)), t, z).prev_sample
    ours = sampled(schedule, grids, start, noise)
    torch.testing.assert_close(ours, z, atol=1e-5 * float(z.abs().max()), rtol=0)


def test_ddim_is_the_schedules_bit_for_bit_whatever_lies_behind() -> None:
    z, epsilon = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 3, 5)
    for t, to in ((981, 961), (101, 141), (1, None), (None, 1)):
        made, past = ddim(SCHEDULE, z, epsilon, t, to, Past(torch.randn_like(z), 999))
        assert torch.equal(made, SCHEDULE.ddim(z, epsilon, t, to))
        assert past is None


@pytest.mark.parametrize(("t", "to"), [(301, 201), (301, 401), (None, 1)], ids=["down", "up", "from z_0"])
def test_a_first_step_is_ddims(t: int | None, to: int) -> None:
    z, epsilon = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 3, 5)
    made, _ = dpmpp_2m(SCHEDULE, z, epsilon, t, to, None)
    assert torch.equal(made, SCHEDULE.ddim(z, epsilon, t, to))


@pytest.mark.parametrize(("before", "t", "to"), [(201, 301, 201), (401, 301, 401)])
def test_where_the_way_turns_nothing_lies_behind(before: int, t: int, to: int) -> None:
    z, epsilon = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 3, 5)
    made, past = dpmpp_2m(SCHEDULE, z, epsilon, t, to, Past(torch.randn_like(z), before))
    assert torch.equal(made, SCHEDULE.ddim(z, epsilon, t, to))
    assert past is not None
    assert past.t == t


def inverted_error(name: str, steps: int) -> float:
    """How far the noisiest latents are from those that the model's own flow leads to (Gaussian data: closed form)."""
    mean, deviation = 0.3, 0.2
    model = GaussianModel(SCHEDULE, mean, deviation)
    z_0 = mean + deviation * torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    solver = SOLVERS[name]  # type: ignore[index]
    grids = solver.grids(SCHEDULE, steps, steps)
    kept = invert(z_0, grids, SCHEDULE, model, solver=solver)
    alpha, clean = SCHEDULE.alpha(grids.sampling[0]), SCHEDULE.alpha(None)
    spread = [a * deviation**2 + 1 - a for a in (alpha, clean)]
    expected = alpha**0.5 * mean + (spread[0] / spread[1]) ** 0.5 * (z_0 - clean**0.5 * mean)
    return float((kept[grids.sampling[0]] - expected).square().mean().sqrt())


def test_its_inversion_is_of_second_order() -> None:
    errors = [inverted_error("dpmpp_2m", steps) for steps in (10, 20, 40)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert errors[0] < inverted_error("ddim", 50)


class TwoColours:
    """The exact ε of data that is near 1 or near -1, which no solver follows without error."""

    def output(self, call: Call, conditions: Conditions) -> Tensor:
        alpha = SCHEDULE.alpha(call.t)
        means = alpha**0.5 * torch.tensor([-1.0, 1.0])
        spread, away = alpha * 0.15**2 + 1 - alpha, call.z[..., None] - means
        weights = (-(away**2) / (2 * spread)).softmax(-1)
        return (1 - alpha) ** 0.5 * (weights * away).sum(-1) / spread


def round_trip(name: str, steps: int, inversion_steps: int) -> float:
    """RMS difference of latents that were inverted and denoised again."""
    generator = torch.Generator().manual_seed(0)
    signs = torch.where(torch.rand(2, 4, 16, 16, generator=generator) < 0.5, -1.0, 1.0)
    z_0 = signs + 0.15 * torch.randn(signs.shape, generator=generator)
    solver = SOLVERS[name]  # type: ignore[index]
    grids = solver.grids(SCHEDULE, steps, inversion_steps)
    z, past = invert(z_0, grids, SCHEDULE, TwoColours(), solver=solver)[grids.sampling[0]], None
    for s, t in enumerate(grids.sampling):
        epsilon = TwoColours().output(Call(z[None], t, ("",), (None,)), Conditions())[0]
        z, past = solver.step(SCHEDULE, z, epsilon, t, grids.before(s), past)
    return float((z - z_0).square().mean().sqrt())


def test_ten_steps_come_back_as_well_as_ddims_twenty_and_forty() -> None:
    assert round_trip("dpmpp_2m", 10, 10) < round_trip("ddim", 20, 40)
    assert round_trip("dpmpp_2m", 10, 20) < round_trip("ddim", 50, 100)


@given(steps=st.integers(1, 500), factor=st.integers(1, 5))
def test_grids_of_even_log_snr_nest_rise_and_keep_their_ends(steps: int, factor: int) -> None:
    factor = factor if factor * steps <= 500 else 1
    grids = log_snr_grids(SCHEDULE, steps, factor * steps)
    assert len(grids.sampling) == steps
    assert set(grids.sampling) <= set(grids.inversion)
    assert all(a < b for a, b in itertools.pairwise(grids.inversion))
    assert grids.inversion[-1] == grids.sampling[0] == 981
    assert grids.inversion[0] == (1 if factor * steps > 1 else 981)


def test_its_inversion_cuts_each_step() -> None:
    coarse, fine = (log_snr_grids(SCHEDULE, 10, steps).inversion for steps in (10, 30))
    assert fine[::3] == coarse


def test_its_steps_are_even_in_log_snr() -> None:
    at = [math.log(SCHEDULE.alpha(t) / (1 - SCHEDULE.alpha(t))) for t in log_snr_grids(SCHEDULE, 8, 8).sampling]
    steps = [b - a for a, b in itertools.pairwise(at)]
    assert max(steps[:-1]) < 1.1 * min(steps[:-1]), "the last ones are a timestep's width off"


@pytest.mark.parametrize(("steps", "inversion_steps"), [(20, 10), (10, 15), (300, 600)])
def test_steps_that_its_grids_cannot_have_are_refused(steps: int, inversion_steps: int) -> None:
    with pytest.raises(BundleError, match="do not fit"):
        log_snr_grids(SCHEDULE, steps, inversion_steps)


def fewer(captions: tuple[str, ...] = ("red", "blue"), steps: int = 10) -> Sampler:
    return sampler(CaptionModel(), captions, steps=steps, solver=FEWER)


@pytest.mark.parametrize("plan", ["mive", "lps_only", "nps_only", "no_reinversion", "reinvert_2d"])
def test_each_instance_goes_where_its_caption_says(plan: str) -> None:
    run = fewer()
    z = finish(run, plan)
    inside = [(z * m).sum() / m.sum() / z.shape[1] for m in run.masks]
    assert inside[0] > 1
    assert inside[1] < -1


def test_the_background_drifts_less_than_with_ddim() -> None:
    """It is drawn by ñ, the noise of the inverted latents, on the way back."""
    assert drift(fewer(), "nps_only") < drift(sampler(CaptionModel(), steps=10), "nps_only")


def test_resuming_anywhere_gives_the_same_latents() -> None:
    states = list(fewer().run(alternate(10, PLANS["mive"], 8)))
    assert any(state.past for state in states)
    for state in states[:-1]:
        assert torch.equal(finish(fewer(), state=state.mapped(torch.clone)), states[-1].fused)  # type: ignore[arg-type]


def test_latents_that_were_replaced_have_no_past() -> None:
    """Fusing replaces them; re-inversion and what follows it go another way, by another noise."""
    run = fewer()
    plan = (Lps(0, False), Lps(1, False), Fuse(2), Reinvert(2), Nps(1, False), Nps(2, False), Lps(3, False))
    states = dict(zip(plan, run.run(plan), strict=True))
    assert states[Fuse(2)].past is None
    forgetful = fewer()
    for step, before in ((Reinvert(2), Fuse(2)), (Nps(1, False), Reinvert(2))):
        old = states[before]
        again = forgetful._advance(step, State(old.position, old.fused))
        assert torch.equal(again.fused, states[step].fused)  # type: ignore[arg-type]
    kept = states[Nps(1, False)]
    again = forgetful._advance(Nps(2, False), State(kept.position, kept.fused))
    assert not torch.equal(again.fused, states[Nps(2, False)].fused)  # type: ignore[arg-type]


def test_inside_the_masks_the_step_before_lies_behind_lps_too() -> None:
    """A plan of LPS alone is the solver's own run of each instance, where its mask is."""
    run = fewer()
    noise = run.inverted[run.grids.sampling[0]]
    z, past = noise.expand(2, *noise.shape), None
    for s, t in enumerate(run.grids.sampling):
        epsilon = run._guided(z, t, Lps(s, False), range(2), [object()] * 2, None)
        z, past = FEWER.step(run.schedule, z, epsilon, t, run.grids.before(s), past)
    *_, last = run.run(tuple(Lps(s, False) for s in range(10)))
    assert last.instances is not None
    inside = run.masks.bool().expand_as(z)
    torch.testing.assert_close(last.instances[inside], z[inside])
