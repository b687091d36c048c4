"""From a request and its settings to the plan and the sampler of a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

import torch
from torch import Tensor

from mive.attention.dense_diffusion import STEP_SHARE, DenseDiffusion
from mive.attention.ipr import IprStrength, ipr_strength
from mive.engines.engine import Engine
from mive.method.denoiser import Conditions
from mive.method.sampling import Edits, Sampler, Savings, Steering
from mive.method.schedule import Grids
from mive.method.solvers import SOLVERS
from mive.networks.unet.inflation import attention_sizes
from mive.plans import PLANS, Plan, alternate
from mive.request import EditRequest, Instance, ResolvedSettings
from mive.settings import Ipr

T = TypeVar("T")

POOLED_SIZES: Final = 2
"""Attention sizes at which other frames may be pooled, from the finest on: most of the work is there."""


class Way(NamedTuple):
    """A way to steer attention.

    Attributes:
        share: of the sampling steps, from the noisiest, that it acts in.
        of: what it does to the instances of an edit.
    """

    share: Callable[[ResolvedSettings], float]
    of: Callable[[ResolvedSettings, Sequence[Instance]], Steering]


def _ipr(settings: ResolvedSettings, instances: Sequence[Instance]) -> Steering:
    lambda_ = [own(instance.lambda_, settings.lambda_) for instance in instances]
    lambda_r = [own(instance.lambda_r, settings.lambda_r) for instance in instances]

    def steer(s: int, t: int, steps: int, items: Sequence[int]) -> IprStrength:
        return ipr_strength(s, steps, [lambda_[i] for i in items], [lambda_r[i] for i in items], settings.lambda_s)

    return steer


WAYS: Final[Mapping[Ipr, Way]] = {
    "ipr": Way(lambda settings: settings.ipr_share, _ipr),
    "none": Way(lambda _: 0, lambda *_: lambda *_: None),
    "dense_diffusion": Way(lambda _: STEP_SHARE, lambda *_: lambda s, t, *_: DenseDiffusion(float(t))),
}
"""By ``settings.ipr``: another is a `Modulation`, a row here, and a word of `Ipr` and of the contract."""


def make_plan(settings: ResolvedSettings) -> Plan:
    """The plan that the settings name."""
    return alternate(settings.steps, PLANS[settings.plan], modulated_steps(settings, settings.steps))


def modulated_steps(settings: ResolvedSettings, steps: int) -> int:
    """In how many of so many steps, from the noisiest, attention is steered."""
    return round(WAYS[settings.ipr].share(settings) * steps)


def make_sampler(
    request: EditRequest, settings: ResolvedSettings, engine: Engine, grids: Grids, conditions: Conditions, z_0: Tensor
) -> Sampler:
    """A sampler of one window that has yet to be given inverted latents.

    Args:
        conditions: what the window looks like.
        z_0: [N, C, h, w], the window's source latents.
    """
    masks = conditions.masks[z_0.shape[-2], z_0.shape[-1]].float()[:, :, None].to(z_0.device)
    chosen = instances_of(request, settings)
    edits = Edits(
        captions=tuple(i.caption for i in chosen),
        guidance=tuple(settings.guidance_of(i.guidance) for i in chosen),
        steering=WAYS[settings.ipr].of(settings, chosen),
        per_forward=settings.instances_per_forward,
        form=settings.guidance_form,
    )
    if settings.frame_attention == "pooled":
        size = (z_0.shape[-2], z_0.shape[-1])
        conditions = replace(conditions, pooled=frozenset(attention_sizes(engine.bundle.unet, size)[:POOLED_SIZES]))
    savings = Savings(joint=settings.nps_passes == "joint", pasted=settings.lps_unguided == "pasted")
    solver = SOLVERS[settings.solver]
    return Sampler(
        engine, engine.bundle.schedule, grids, edits, conditions, masks, {None: z_0}, solver=solver, savings=savings
    )


def first_latents(request: EditRequest, settings: ResolvedSettings, noisiest: Tensor, masks: Tensor) -> Tensor | None:
    """First latents per instance where a variation is asked for: seeded noise mixed in, variance kept.

    Args:
        noisiest: [N, C, h, w] of z̃, which stays outside an instance's mask.
        masks: [M, N, 1, h, w].

    Returns:
        [M, N, C, h, w], or None without a variation.
    """
    share = settings.variation
    if share == 0:
        return None
    mixed = []
    for instance, m in zip(instances_of(request, settings), masks, strict=True):
        generator = torch.Generator().manual_seed(own(instance.seed, settings.seed))
        # One frame's noise for all frames, so that the variation does not flicker.
        noise = torch.randn(noisiest.shape[1:], generator=generator).to(noisiest.device)
        mixed.append(((1 - share**2) ** 0.5 * noisiest + share * noise) * m + noisiest * (1 - m))
    return torch.stack(mixed)


def instances_of(request: EditRequest, settings: ResolvedSettings) -> Sequence[Instance]:
    """What is edited; under one global caption the frame as a whole, with no instance's own settings."""
    if settings.caption_mode == "global":
        return (Instance(id=1, caption=request.global_caption),)
    return request.instances


def own(value: T | None, default: T) -> T:
    """What an instance has for itself, or what all have."""
    return default if value is None else value
