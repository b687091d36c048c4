"""Grids and DDIM: the numbers the method stands on."""

from __future__ import annotations

import pytest
import torch

from mive.errors import BundleError
from mive.method.denoiser import Call, Conditions
from mive.method.sampling import invert
from mive.method.schedule import NoiseSchedule, make_grids

SD = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "set_alpha_to_one": False,
}


@pytest.fixture
def schedule() -> NoiseSchedule:
    return NoiseSchedule.from_config(SD)


class GaussianModel:
    """The exact ε of data that is Gaussian with the given mean and deviation."""

    def __init__(self, schedule: NoiseSchedule, mean: float, deviation: float) -> None:
        self.schedule, self.mean, self.variance = schedule, mean, deviation**2

    def output(self, call: Call, conditions: Conditions) -> torch.Tensor:
        alpha = self.schedule.alpha(call.t)
        spread = alpha * self.variance + 1 - alpha
        return (1 - alpha) ** 0.5 * (call.z - alpha**0.5 * self.mean) / spread


def test_grids_of_the_paper(schedule: NoiseSchedule) -> None:
    grids = make_grids(schedule, 50, 100)
    assert grids.sampling == tuple(range(981, 0, -20))
    assert grids.inversion == tuple(range(1, 992, 10))
    assert set(grids.sampling) <= set(grids.inversion)
    assert grids.before(0) == 961
    assert grids.before(49) is None


def test_grids_that_do_not_nest_are_refused(schedule: NoiseSchedule) -> None:
    with pytest.raises(BundleError, match="do not fit"):
        make_grids(schedule, 50, 70)


def test_alphas_are_those_of_stable_diffusion(schedule: NoiseSchedule) -> None:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    assert schedule.alpha(999) == pytest.approx(float(torch.prod(1 - betas)))
    assert schedule.alpha(None) == schedule.alpha(0)
    assert NoiseSchedule.from_config({**SD, "set_alpha_to_one": True}).alpha(None) == 1


@pytest.mark.parametrize("change", [{"beta_schedule": "sigmoid"}, {"prediction_type": "sample"}], ids=str)
def test_unknown_schedules_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(BundleError, match="Expected"):
        NoiseSchedule.from_config({**SD, **change})


def test_ddim_steps_up_and_down_cancel(schedule: NoiseSchedule) -> None:
    z, epsilon = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 3, 5)
    there = schedule.ddim(z, epsilon, 101, 141)
    assert torch.allclose(schedule.ddim(there, epsilon, 141, 101), z, atol=1e-5)


def test_v_prediction_gives_the_same_noise(schedule: NoiseSchedule) -> None:
    v_schedule = NoiseSchedule.from_config({**SD, "prediction_type": "v_prediction"})
    z_0, noise = torch.randn(1, 4, 4, 4), torch.randn(1, 4, 4, 4)
    alpha = schedule.alpha(301)
    z = alpha**0.5 * z_0 + (1 - alpha) ** 0.5 * noise
    v = alpha**0.5 * noise - (1 - alpha) ** 0.5 * z_0
    assert torch.allclose(v_schedule.epsilon(v, z, 301), noise, atol=1e-5)


def test_invert_then_denoise_comes_back(schedule: NoiseSchedule) -> None:
    """With the closed-form ε of Gaussian data, 100 + 50 steps leave an error of a few hundredths."""
    model = GaussianModel(schedule, mean=0.3, deviation=1.0)
    grids = make_grids(schedule, 50, 100)
    z_0 = 0.3 + torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    inverted = invert(z_0, grids, schedule, model)
    assert set(inverted) == {None, *grids.sampling}
    z = inverted[981]
    for s, t in enumerate(grids.sampling):
        epsilon = model.output(Call(z[None], t, ("",), (None,)), Conditions())[0]
        z = schedule.ddim(z, epsilon, t, grids.before(s))
    assert (z - z_0).square().mean().sqrt() < 0.04


def test_inversion_frame_by_frame_is_the_same(schedule: NoiseSchedule) -> None:
    model = GaussianModel(schedule, 0, 0.7)
    grids = make_grids(schedule, 10, 20)
    z_0 = torch.randn(5, 4, 8, 8)
    whole = invert(z_0, grids, schedule, model)
    single = invert(z_0, grids, schedule, model, frames_per_forward=1)
    assert all(torch.equal(whole[t], single[t]) for t in whole)
