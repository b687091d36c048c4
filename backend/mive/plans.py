"""Sampling plans.

A plan is data: a list of steps that :mod:`mive.method.sampling` runs, so an ablation is another list and nothing else.
Steps s = 0…T-1 count the sampling steps from the noisiest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias


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


PLAN_NAMES: Final = tuple(PLANS)
"""The sampling plans that can be asked for by name."""

USUAL_PLAN: Final = PLAN_NAMES[0]
"""The paper's."""


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
