"""Noise schedule, timestep grids and sampling plans.

A plan is data: a list of steps that :mod:`mive.method.sampling` runs, so an ablation is another list and nothing else.
Timesteps are a model's train timesteps t; steps s = 0…T-1 count the sampling steps from the noisiest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor

from mive.attention.dense_diffusion import STEP_SHARE
from mive.errors import BundleError
from mive.settings import ResolvedSettings

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
        here, there = self.alpha(t), self.alpha(to)
        clean: Tensor = (z - (1 - here) ** 0.5 * epsilon) / here**0.5
        stepped: Tensor = there**0.5 * clean + (1 - there) ** 0.5 * epsilon
        return stepped


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
    """Both grids: {1, 21, …, 981} and {1, 11, …, 991} for 50 and 100 steps.

    Raises:
        BundleError: a sampling timestep would have no z̃, or the model has too few timesteps.
    """
    train = len(schedule.alphas_cumprod)

    def grid(count: int) -> tuple[int, ...]:
        return tuple(k * (train // count) + schedule.steps_offset for k in range(count))

    sampling, inversion = grid(steps)[::-1], grid(inversion_steps)
    missing = sorted(set(sampling) - set(inversion))
    if missing or inversion[-1] >= train:
        raise BundleError(
            f"{steps} denoising and {inversion_steps} inversion steps do not fit a model of {train} timesteps",
            expected="inversion steps that are a multiple of the denoising steps, all below the model's timesteps",
            fix="Choose other steps",
        )
    return Grids(sampling, inversion)


@dataclass(frozen=True)
class Lps:
    """Latent parallel sampling (Eq. 1, 2): step ``s`` for each instance on its own latents."""

    s: int
    modulated: bool


@dataclass(frozen=True)
class Fuse:
    """Latent fusion (Eq. 3), at the timestep that step ``s`` begins with."""

    s: int


@dataclass(frozen=True)
class Reinvert:
    """One DDIM inversion step of the fused latents, from the start of step ``s`` to the start of step ``s - 1``.

    With the inflated U-Net and ControlNet, or (an ablation) with the plain 2D U-Net.
    """

    s: int
    inflated: bool = True


@dataclass(frozen=True)
class Nps:
    """Noise parallel sampling (Eq. 4): step ``s`` on the fused latents with the instances' joined noise."""

    s: int
    modulated: bool


PlanStep: TypeAlias = Lps | Fuse | Reinvert | Nps
Plan: TypeAlias = tuple[PlanStep, ...]

PAPER_STEPS: Final = 50


@dataclass(frozen=True)
class Rhythm:
    """How a plan alternates, in steps of the paper's T = 50.

    Other T keep the cycles and their share of the steps; what is not 0 here is at least 1 there, so that on coarse
    grids a cycle has relatively more NPS.

    Attributes:
        lps, nps: steps of each kind in a cycle.
        alternating: steps covered by cycles; NPS alone does the rest.
        reinversion: l within cycles.
        tail_reinversion: l after them.
        inflated: whether re-inversion uses the inflated networks.
    """

    lps: int = 9
    nps: int = 1
    alternating: int = 40
    reinversion: int = 3
    tail_reinversion: int = 2
    inflated: bool = True


PLANS: Final[Mapping[str, Rhythm]] = MappingProxyType(
    {
        "mive": Rhythm(),
        "lps_only": Rhythm(50, 0, 50),
        "nps_only": Rhythm(0, 0, 0, 0, 0),
        "no_reinversion": Rhythm(reinversion=0, tail_reinversion=0),
        "alternate_1_1": Rhythm(1, 1, 50, 0, 0),
        "alternate_4_1": Rhythm(4, 1, 50, 0, 0),
        "alternate_9_1": Rhythm(9, 1, 50, 0, 0),
        "alternate_14_1": Rhythm(14, 1, 50, 0, 0),
        "alternate_1_4": Rhythm(1, 4, 50, 0, 0),
        "last_nps_20": Rhythm(9, 1, 30, 0, 0),
        "last_nps_30": Rhythm(9, 1, 20, 0, 0),
        "reinvert_1_0": Rhythm(reinversion=1, tail_reinversion=0),
        "reinvert_2_0": Rhythm(reinversion=2, tail_reinversion=0),
        "reinvert_3_0": Rhythm(reinversion=3, tail_reinversion=0),
        "reinvert_3_1": Rhythm(tail_reinversion=1),
        "reinvert_3_3": Rhythm(tail_reinversion=3),
        # Table 8 (e) marks 2D at the tail only; read here as all of the re-inversion.
        "reinvert_2d": Rhythm(inflated=False),
        "lps_4": Rhythm(lps=4),
    }
)
"""Rhythms by name: the paper's ``mive``, the rows of Tables 3 and 8 (``reinvert_L_TAIL``, ``alternate_LPS_NPS``)."""


def make_plan(settings: ResolvedSettings) -> Plan:
    """The plan that the settings name."""
    return alternate(settings.steps, PLANS[settings.plan], modulated_steps(settings, settings.steps))


def modulated_steps(settings: ResolvedSettings, steps: int) -> int:
    """How many of so many steps, from the noisiest, have IPR (or DenseDiffusion) on."""
    share = STEP_SHARE if settings.ipr == "dense_diffusion" else settings.ipr_share
    return 0 if settings.ipr == "none" else round(share * steps)


def alternate(steps: int, rhythm: Rhythm, modulated_steps: int) -> Plan:
    """Cycles of LPS, fusion and harmonised NPS, then harmonised NPS to the end (§5).

    Args:
        steps: T.
        rhythm: how to alternate.
        modulated_steps: how many steps, from the noisiest, modulate attention.
    """
    cycled = round(rhythm.alternating * steps / PAPER_STEPS)
    plan: list[PlanStep] = []
    on_instances = False
    for s in range(steps):
        modulated = s < modulated_steps
        if s < cycled and not _is_nps(s, steps, rhythm):
            plan.append(Lps(s, modulated))
            on_instances = True
            continue
        if on_instances:
            plan.append(Fuse(s))
            on_instances = False
        reach = rhythm.reinversion if s < cycled else rhythm.tail_reinversion
        plan += _harmonise(s, _scaled(reach, steps), modulated, rhythm.inflated)
    return (*plan, Fuse(steps)) if on_instances else tuple(plan)


def _is_nps(s: int, steps: int, rhythm: Rhythm) -> bool:
    """Whether step ``s`` is one of the NPS steps that end its cycle; cycles are at least one step of each kind."""
    if rhythm.nps == 0:
        return False
    length = max(2.0, (rhythm.lps + rhythm.nps) * steps / PAPER_STEPS)
    cycle = next(k for k in range(steps + 1) if s < round((k + 1) * length))
    return s >= round((cycle + 1) * length) - _scaled(rhythm.nps, steps)


def _scaled(count: int, steps: int) -> int:
    """``count`` steps of the paper's T = 50 on a grid of ``steps``: at least one, if any."""
    return count and max(1, round(count * steps / PAPER_STEPS))


def _harmonise(s: int, reach: int, modulated: bool, inflated: bool) -> list[PlanStep]:
    """Re-inversion from step ``s`` up by ``reach`` (clamped to the grid's top), NPS back down, then step ``s``."""
    top = max(0, s - reach)
    up: list[PlanStep] = [Reinvert(at, inflated) for at in range(s, top, -1)]
    return [*up, *(Nps(at, modulated) for at in range(top, s + 1))]
