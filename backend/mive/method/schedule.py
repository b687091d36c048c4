"""Noise schedule, timestep grids and sampling plans.

A plan is data: a list of steps that :mod:`mive.method.sampling` runs, so an ablation is another list and nothing else.
Timesteps are a model's train timesteps t; steps s = 0…T-1 count the sampling steps from the noisiest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from mive.errors import BundleError
from mive.plans import PAPER_STEPS

Prediction = Literal["epsilon", "v_prediction"]


@dataclass(frozen=True)
class NoiseSchedule:
    """The ᾱ of a model's train timesteps.

    Attributes:
        alphas_cumprod: float64 [train steps], ᾱ_t.
        final_alpha: ᾱ of "step 0", the clean latents: 1, or ᾱ of timestep 0, as the checkpoint was trained.
        steps_offset: added to every timestep of a grid (1 for Stable Diffusion).
        prediction: what the network predicts.
    """

    alphas_cumprod: Tensor
    final_alpha: float
    steps_offset: int
    prediction: Prediction

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> NoiseSchedule:
        """Read a diffusers ``scheduler_config.json``.

        Raises:
            BundleError: it describes a schedule or prediction MIVE does not know.
        """
        count = int(str(config.get("num_train_timesteps", 1000)))
        first, last = (
            float(str(config.get("beta_start", 0.0001))),
            float(str(config.get("beta_end", 0.02))),
        )
        kind = str(config.get("beta_schedule", "linear"))
        if kind == "scaled_linear":
            betas = torch.linspace(first**0.5, last**0.5, count, dtype=torch.float64) ** 2
        elif kind == "linear":
            betas = torch.linspace(first, last, count, dtype=torch.float64)
        else:
            raise BundleError(
                f'the scheduler\'s beta_schedule is "{kind}"',
                expected="scaled_linear or linear",
                fix="Use a Stable Diffusion checkpoint, or correct scheduler/scheduler_config.json",
            )
        prediction = str(config.get("prediction_type", "epsilon"))
        if prediction not in ("epsilon", "v_prediction"):
            raise BundleError(
                f'the scheduler\'s prediction_type is "{prediction}"',
                expected="epsilon or v_prediction",
                fix="Use another checkpoint, or correct scheduler/scheduler_config.json",
            )
        alphas = torch.cumprod(1 - betas, 0)
        final = 1.0 if config.get("set_alpha_to_one", True) else float(alphas[0])
        kind_of: Prediction = "epsilon" if prediction == "epsilon" else "v_prediction"
        return cls(alphas, final, int(str(config.get("steps_offset", 0))), kind_of)

    def alpha(self, t: int | None) -> float:
        """ᾱ_t; None is the clean end of the grid."""
        return self.final_alpha if t is None else float(self.alphas_cumprod[t])

    def epsilon(self, output: Tensor, z: Tensor, t: int) -> Tensor:
        """The noise estimate that a network's output stands for; both [..., C, h, w]."""
        if self.prediction == "epsilon":
            return output
        alpha = self.alpha(t)
        noise: Tensor = alpha**0.5 * output + (1 - alpha) ** 0.5 * z
        return noise

    def ddim(self, z: Tensor, epsilon: Tensor, t: int | None, to: int | None) -> Tensor:
        """One deterministic DDIM step from ``t`` to ``to``, either way (Eq. 9 upwards, Eq. 10 downwards).

        ``None`` is the clean end: ``to`` for the last denoising step, ``t`` for the first inversion step.
        """
        there = self.alpha(to)
        stepped: Tensor = there**0.5 * self.clean(z, epsilon, t) + (1 - there) ** 0.5 * epsilon
        return stepped

    def clean(self, z: Tensor, epsilon: Tensor, t: int | None) -> Tensor:
        """The clean latents that z at ``t`` comes from, if that is the noise in it."""
        alpha = self.alpha(t)
        clean: Tensor = (z - (1 - alpha) ** 0.5 * epsilon) / alpha**0.5
        return clean

    @cached_property
    def log_snr(self) -> Tensor:
        """λ_t = log(√ᾱ_t/√(1-ᾱ_t)) of every train timestep: half the logarithm of signal to noise; float64, falling."""
        return torch.logit(self.alphas_cumprod) / 2


@dataclass(frozen=True)
class Grids:
    """Sampling and inversion timesteps.

    Attributes:
        sampling: T timesteps, noisiest first.
        inversion: timesteps in ascending order, a superset of ``sampling``.
    """

    sampling: tuple[int, ...]
    inversion: tuple[int, ...]

    def before(self, s: int) -> int | None:
        """The timestep that sampling step ``s`` goes to; None for the last step, which goes to z_0."""
        return self.sampling[s + 1] if s + 1 < len(self.sampling) else None


def make_grids(schedule: NoiseSchedule, steps: int, inversion_steps: int) -> Grids:
    """Both grids with even steps of t: {1, 21, …, 981} and {1, 11, …, 991} for 50 and 100 steps.

    Raises:
        BundleError: a sampling timestep would have no z̃, or the model has too few timesteps.
    """
    train = len(schedule.alphas_cumprod)

    def grid(count: int) -> tuple[int, ...]:
        return tuple(k * (train // count) + schedule.steps_offset for k in range(count))

    sampling, inversion = grid(steps)[::-1], grid(inversion_steps)
    missing = sorted(set(sampling) - set(inversion))
    if missing or inversion[-1] >= train:
        raise _misfit(
            train, steps, inversion_steps,
            "inversion steps that are a multiple of the denoising steps, all below the model's timesteps",
        )  # fmt: skip
    return Grids(sampling, inversion)


def log_snr_grids(schedule: NoiseSchedule, steps: int, inversion_steps: int) -> Grids:
    """Both grids with even steps of λ, between the ends that 50 even steps of t have (DPM-Solver, §3.3).

    With f times as many inversion steps, the inversion cuts each step of the sampling into f, so that it has f - 1
    timesteps fewer than were asked for.

    Raises:
        BundleError: a sampling timestep would have no z̃, or the model has too few timesteps.
    """
    train = len(schedule.alphas_cumprod)
    if inversion_steps % steps or inversion_steps > train // 2:
        raise _misfit(
            train, steps, inversion_steps,
            "inversion steps that are a multiple of the denoising steps, at most half of the model's timesteps",
        )  # fmt: skip
    cut = inversion_steps // steps
    first, last = schedule.steps_offset, train - train // PAPER_STEPS + schedule.steps_offset
    count = inversion_steps - cut + 1 if steps > 1 else cut
    even = torch.linspace(float(schedule.log_snr[last]), float(schedule.log_snr[first]), count, dtype=torch.float64)
    inversion: list[int] = []
    for log_snr in even.flip(0):
        nearest = int((schedule.log_snr - log_snr).abs().argmin())
        # Where there is little noise, even steps of λ are finer than timesteps.
        inversion.append(max(nearest, inversion[-1] + 1) if inversion else nearest)
    return Grids(tuple(inversion[::-cut][:steps]), tuple(inversion))


def _misfit(train: int, steps: int, inversion_steps: int, expected: str) -> BundleError:
    return BundleError(
        f"{steps} denoising and {inversion_steps} inversion steps do not fit a model of {train} timesteps",
        expected=expected,
        fix="Choose other steps",
    )
