"""Solvers: from latents and the noise in them to the latents of another timestep, either way.

A step may leave a `Past` for the next one. Whoever replaces latents in between drops it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from torch import Tensor

from mive.method.schedule import Grids, NoiseSchedule, log_snr_grids, make_grids
from mive.settings import SOLVER, SolverName


@dataclass(frozen=True)
class Past:
    """What a multistep solver remembers of the step before.

    Attributes:
        clean: [..., C, h, w], the clean latents that it predicted.
        t: the train timestep that it predicted them at.
    """

    clean: Tensor
    t: int


class Step(Protocol):
    """One step of a solver."""

    def __call__(
        self, schedule: NoiseSchedule, z: Tensor, epsilon: Tensor, t: int | None, to: int | None, past: Past | None, /
    ) -> tuple[Tensor, Past | None]:
        """Latents z [..., C, h, w] of ``t`` to those of ``to``, and what the next step is to be given.

        Args:
            epsilon: the noise in z, of its shape.
            t, to: train timesteps; None is the clean end.
            past: what the step before left, if its latents are these.
        """
        ...


class Solver(NamedTuple):
    """A solver.

    Attributes:
        step: what it does in one step.
        grids: the timesteps that suit it, for so many sampling and inversion steps.
    """

    step: Step
    grids: Callable[[NoiseSchedule, int, int], Grids]


def ddim(
    schedule: NoiseSchedule, z: Tensor, epsilon: Tensor, t: int | None, to: int | None, past: Past | None, /
) -> tuple[Tensor, None]:
    """DDIM, of first order (Eq. 9 upwards, Eq. 10 downwards): it remembers nothing."""
    return schedule.ddim(z, epsilon, t, to), None


def dpmpp_2m(
    schedule: NoiseSchedule, z: Tensor, epsilon: Tensor, t: int | None, to: int | None, past: Past | None, /
) -> tuple[Tensor, Past | None]:
    """DPM-Solver++ (2M), of second order (arXiv 2211.01095, Algorithm 2), downwards and, for inversion, upwards.

    The prediction of the clean latents is carried on to the middle of the step by a line through the last two, in
    λ = log(√ᾱ/√(1-ᾱ)). A step is of first order, which is DDIM's, where nothing lies behind it: at the start, after
    latents were replaced, where the way turns, and to and from the clean end, where λ has no bound.
    """
    if t is None:
        return schedule.ddim(z, epsilon, t, to), None
    clean = schedule.clean(z, epsilon, t)
    if past is not None and to is not None and _is_behind(past.t, t, to):
        before, here, there = (float(schedule.log_snr[at]) for at in (past.t, t, to))
        r = (here - before) / (there - here)
        middle = clean + (clean - past.clean) / (2 * r)
        alpha = schedule.alpha(t)
        epsilon = (z - alpha**0.5 * middle) / (1 - alpha) ** 0.5
    return schedule.ddim(z, epsilon, t, to), Past(clean, t)


def _is_behind(past: int, t: int, to: int) -> bool:
    return (past > t) == (t > to)


SOLVERS: Final[Mapping[SolverName, Solver]] = {
    "ddim": Solver(ddim, make_grids),
    "dpmpp_2m": Solver(dpmpp_2m, log_snr_grids),
}
"""By the setting ``solver``."""

USUAL_SOLVER: Final = SOLVERS[SOLVER]
