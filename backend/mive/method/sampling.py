"""Disentangled Multi-instance Sampling: runs a plan, one step at a time.

Symbols are the paper's (§3.2): z̃ inverted latents, ẑ_i instance latents, m_i masks, c_i captions, ñ background noise.
Latents are float32 [N, C, h, w], with a leading [M] for all instances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from mive.attention.modulation import Modulation
from mive.errors import EngineError
from mive.method.denoiser import Call, Conditions, Denoiser
from mive.method.finite import Finiteness
from mive.method.guidance import guided
from mive.method.schedule import Grids, NoiseSchedule
from mive.method.solvers import USUAL_SOLVER, Past, Solver
from mive.plans import Fuse, Lps, Nps, Plan, PlanStep, Reinvert
from mive.settings import GuidanceForm

Inverted = Mapping[int | None, Tensor]
"""z̃ by train timestep, [N, C, h, w] each; None is z_0."""

Steering = Callable[[int, int, int, Sequence[int]], Modulation | None]
"""What steers attention at step s, train timestep t, of T steps, in a batch of items that edit these instances."""

INVERTED_TOGETHER: Final = 8
"""Frames that go through one forward of the inversion, which looks at each by itself."""


@dataclass(frozen=True)
class Edits:
    """What each of the M instances should become, and how firmly.

    Attributes:
        captions: c_i.
        guidance: classifier-free guidance scales.
        steering: what steers attention in modulated steps.
        per_forward: how many instances go through one forward; bounds memory, changes nothing else.
        form: of guidance.
    """

    captions: tuple[str, ...]
    guidance: tuple[float, ...]
    steering: Steering = lambda *_: None
    per_forward: int = 1
    form: GuidanceForm = "plain"
    _scales: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def scale(self, device: torch.device) -> Tensor:
        """The guidance scales [M, 1, 1, 1, 1] on ``device``, which are brought there once."""
        if device not in self._scales:
            self._scales[device] = torch.tensor(self.guidance, device=device).view(-1, 1, 1, 1, 1)
        return self._scales[device]


@dataclass(frozen=True)
class Savings:
    """What is computed for all instances at once although it is not quite the same; each changes pixels.

    Attributes:
        joint: NPS has one conditional pass, in which each pixel hears its own instance's caption.
        pasted: LPS has one unconditional pass, on the instances' latents pasted into one frame.
    """

    joint: bool = False
    pasted: bool = False


@dataclass(frozen=True)
class State:
    """Where a plan stands: all that a checkpoint must hold.

    Attributes:
        position: plan steps done.
        fused: [N, C, h, w], the common latents, or None while instances have their own.
        instances: [M, N, C, h, w], or None while they share ``fused``.
        past: what the solver remembers of the step that made these latents.
    """

    position: int
    fused: Tensor | None
    instances: Tensor | None = None
    past: Past | None = None

    def mapped(self, change: Callable[[Tensor], Tensor]) -> State:
        """The same state with every tensor changed."""
        fused, instances = (None if z is None else change(z) for z in (self.fused, self.instances))
        past = None if self.past is None else Past(change(self.past.clean), self.past.t)
        return State(self.position, fused, instances, past)


def invert(
    z_0: Tensor,
    grids: Grids,
    schedule: NoiseSchedule,
    denoiser: Denoiser,
    *,
    solver: Solver = USUAL_SOLVER,
    frames_per_forward: int = INVERTED_TOGETHER,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int | None, Tensor]:
    """Inversion of the source (Eq. 9): plain 2D U-Net, empty caption, guidance 1, ε at the source timestep.

    The step from z_0 has no source timestep on the grid and takes the grid's smallest.

    Args:
        z_0: [N, C, h, w] source latents.
        progress: told how many of the inversion steps are done.

    Returns:
        z̃ at every sampling timestep, and z_0 under None.
    """
    kept: dict[int | None, Tensor] = {None: z_0}
    z, source, past = z_0, None, None
    for done, t in enumerate(grids.inversion):
        at = grids.inversion[0] if source is None else source
        parts = [
            schedule.epsilon(denoiser.output(_plain(part, at), Conditions())[0], part, at)
            for part in torch.split(z, frames_per_forward)
        ]
        z, past = solver.step(schedule, z, torch.cat(parts), source, t, past)
        source = t
        if t in grids.sampling:
            kept[t] = z
        progress(done + 1, len(grids.inversion))
    asked = Finiteness()
    asked.ask(z, "the inversion")
    asked.settle()
    return kept


def _plain(z: Tensor, t: int) -> Call:
    return Call(z[None], t, ("",), (None,), inflated=False, control=False)


@dataclass
class Sampler:
    """Runs plans for one window of frames.

    Attributes:
        masks: [M, N, 1, h, w] float 0 or 1, disjoint.
        inverted: z̃ of every sampling timestep and z_0, on the masks' device, as all latents are.
        initial: [M, N, C, h, w] first ẑ_i of each instance, where they differ from z̃_T.
        solver: how steps are taken, on the grids that belong to it.
        savings: what instances share.
    """

    denoiser: Denoiser
    schedule: NoiseSchedule
    grids: Grids
    edits: Edits
    conditions: Conditions
    masks: Tensor
    inverted: Inverted
    initial: Tensor | None = None
    solver: Solver = USUAL_SOLVER
    savings: Savings = Savings()
    _background: dict[int, Tensor] = field(default_factory=dict, init=False)
    _steered: dict[tuple[int, tuple[int, ...]], Modulation | None] = field(default_factory=dict, init=False)

    def run(self, plan: Plan, state: State | None = None) -> Iterator[State]:
        """Yield the state after each step of the plan; the last one's ``fused`` is the edited z_0.

        Args:
            plan: its steps.
            state: where to go on from; a run that resumes gives the same latents as one that was never stopped.

        Raises:
            EngineError: the latents are no longer finite.
        """
        if state is None:
            noisiest = self.inverted[self.grids.sampling[0]]
            state = State(0, noisiest if self.initial is None else None, self.initial)
        self._prepare(plan[state.position :])
        asked, later = Finiteness(), int(self.masks.is_cuda)
        for step in plan[state.position :]:
            state = self._advance(step, state)
            latents = state.instances if state.fused is None else state.fused
            assert latents is not None
            asked.ask(latents, f"step {state.position} of {len(plan)}")
            # A GPU is not waited for: its answer about a step is read when the next one is under way.
            asked.settle(later if state.position < len(plan) else 0)
            yield state

    def _prepare(self, steps: Plan) -> None:
        """Put what steers these steps on the device, so that none of them waits for a copy."""
        self._steered.clear()
        groups = self._groups()
        batches = [*groups, *([*items, *[items[0]] * len(items)] for items in groups)]
        if self.savings.joint:
            batches.append([*range(len(self.masks)), 0])
        for s in dict.fromkeys(step.s for step in steps if isinstance(step, (Lps, Nps)) and step.modulated):
            for batch in batches:
                self._steering(s, batch)

    def _steering(self, s: int, batch: Sequence[int]) -> Modulation | None:
        """What steers step s of a batch of items that edit these instances, on the latents' device."""
        key = (s, tuple(batch))
        if key not in self._steered:
            grid = self.grids.sampling
            steering = self.edits.steering(s, grid[s], len(grid), batch)
            self._steered[key] = None if steering is None else steering.to(self.masks.device)
        return self._steered[key]

    def _advance(self, step: PlanStep, state: State) -> State:
        position = state.position + 1
        if isinstance(step, Lps):
            return State(position, None, *self._lps(step, state))
        if isinstance(step, Fuse):
            return State(position, self._fuse(self._instances(state), step.s))
        # Fusing replaces latents, so that no step lies behind them.
        z, past = state.fused, state.past
        if z is None:
            z, past = self._fuse(self._instances(state), step.s), None
        z, past = self._reinvert(step, z, past) if isinstance(step, Reinvert) else self._nps(step, z, past)
        return State(position, z, past=past)

    def _instances(self, state: State) -> Tensor:
        if state.instances is not None:
            return state.instances
        assert state.fused is not None
        return state.fused.expand(len(self.masks), *state.fused.shape)

    def _timestep(self, s: int) -> int | None:
        return self.grids.sampling[s] if s < len(self.grids.sampling) else None

    def _lps(self, step: Lps, state: State) -> tuple[Tensor, Past | None]:
        """Eq. 1 and 2: every instance a guided step of its own, the inverted latents outside its mask.

        Inside the masks nothing is replaced, so there the step before lies behind this one.
        """
        t, to = self.grids.sampling[step.s], self.grids.before(step.s)
        z, common = self._instances(state), state.fused if state.instances is None else None
        unguided: Tensor | None = None
        if common is not None:
            latents = [object()] * len(z)
            unguided = self._unguided(common, t, latents[0])
        else:
            latents = [object() for _ in z]
            if self.savings.pasted:
                unguided = self._unguided(self._fuse(z, step.s), t, object())
        epsilon = [
            self._guided(z[items.start : items.stop], t, step, items, latents, unguided) for items in self._groups()
        ]
        moved, past = self.solver.step(self.schedule, z, torch.cat(epsilon), t, to, state.past)
        return moved * self.masks + self.inverted[to] * (1 - self.masks), past

    def _fuse(self, z: Tensor, s: int) -> Tensor:
        """Eq. 3: each instance's latents inside its mask, the inverted ones in the background."""
        return (z * self.masks).sum(0) + self.inverted[self._timestep(s)] * self._m_background

    @property
    def _m_background(self) -> Tensor:
        return 1 - self.masks.sum(0)

    def _reinvert(self, step: Reinvert, z: Tensor, past: Past | None) -> tuple[Tensor, Past | None]:
        """One inversion step on the sampling grid: empty caption, guidance 1, ε at the source timestep."""
        t, up = self.grids.sampling[step.s], self.grids.sampling[step.s - 1]
        call = Call(z[None], t, ("",), (None,), inflated=step.inflated, control=step.inflated)
        return self.solver.step(self.schedule, z, self._epsilon(call)[0], t, up, past)

    def _nps(self, step: Nps, z: Tensor, past: Past | None) -> tuple[Tensor, Past | None]:
        """Eq. 4: the instances' noises on the fused latents and ñ in the background, then one step.

        The unconditional branch knows neither caption nor mask, so one pass serves all instances.
        """
        t, latents = self.grids.sampling[step.s], object()
        unguided = self._unguided(z, t, latents)
        n = self._background_noise(t) * self._m_background
        if self.savings.joint:
            n = n + self._joint(z, t, step, latents, unguided) * self.masks.sum(0)
        else:
            for items in self._groups():
                part = z.expand(len(items), *z.shape)
                heard = self._guided(part, t, step, items, [latents] * len(self.masks), unguided)
                n = n + (heard * self.masks[items.start : items.stop]).sum(0)
        return self.solver.step(self.schedule, z, n, t, self.grids.before(step.s), past)

    def _joint(self, z: Tensor, t: int, step: Nps, latents: object, unguided: Tensor) -> Tensor:
        """Guided noise [N, C, h, w] of all instances from one pass, each by its own guidance where its mask is."""
        count = len(self.masks)
        modulation = self._steering(step.s, [*range(count), 0]) if step.modulated else None
        if modulation is not None and modulation.steers_self:
            raise EngineError(
                f'"{modulation.name}" steers self-attention by one instance, and this pass is of all of them',
                expected="a modulation of cross-attention alone, or a pass for each instance",
                fix='Set nps_passes to "each"',
                field="settings.nps_passes",
            )
        instances = tuple(range(count)) if step.modulated else (None,) * count
        call = Call(z[None], t, self.edits.captions, instances, modulation, joint=True, latents=(latents,))
        conditional = self._epsilon(call)[0]
        if self.edits.form == "plain":
            return unguided + (self._scale * self.masks).sum(0) * (conditional - unguided)
        heard = guided(unguided, conditional.expand(count, *z.shape), self._scale, self.masks, self.edits.form)
        return unguided + ((heard - unguided) * self.masks).sum(0)

    def _background_noise(self, t: int) -> Tensor:
        """ñ = ε(z̃_t, c_∅, t) without e; it depends on t alone, so each is computed once."""
        if t not in self._background:
            call = Call(self.inverted[t][None], t, ("",), (None,), control=False)
            self._background[t] = self._epsilon(call)[0]
        return self._background[t]

    def _guided(
        self, z: Tensor, t: int, step: Lps | Nps, items: range, latents: Sequence[object], unguided: Tensor | None
    ) -> Tensor:
        """Classifier-free guidance for some instances: [m, N, C, h, w] latents to noise.

        Args:
            latents: all instances' tokens, see `Call`.
            unguided: [N, C, h, w], the unconditional noise if it is the same for all, else it is computed here.
        """
        extra = 0 if unguided is not None else len(items)
        instances = tuple(i if step.modulated else None for i in items)
        captions = tuple(self.edits.captions[i] for i in items)
        tokens = tuple(latents[i] for i in items)
        # Items that are left alone have the first one's, which nobody looks at.
        batch = [*items, *[items[0]] * extra]
        call = Call(
            torch.cat([z, z[:extra]]),
            t,
            captions + ("",) * extra,
            instances + (None,) * extra,
            self._steering(step.s, batch) if step.modulated else None,
            latents=tokens + tokens[:extra],
        )
        epsilon = self._epsilon(call)
        conditional = epsilon[: len(items)]
        base = epsilon[len(items) :] if unguided is None else unguided
        part = slice(items.start, items.stop)
        return guided(base, conditional, self._scale[part], self.masks[part], self.edits.form)

    @property
    def _scale(self) -> Tensor:
        """Guidance scales [M, 1, 1, 1, 1] on the latents' device."""
        return self.edits.scale(self.masks.device)

    def _unguided(self, z: Tensor, t: int, latents: object) -> Tensor:
        return self._epsilon(Call(z[None], t, ("",), (None,), latents=(latents,)))[0]

    def _epsilon(self, call: Call) -> Tensor:
        return self.schedule.epsilon(self.denoiser.output(call, self.conditions), call.z, call.t)

    def _groups(self) -> list[range]:
        count = len(self.masks)
        return [range(i, min(i + self.edits.per_forward, count)) for i in range(0, count, self.edits.per_forward)]
