"""Sketches: what an edit may become, in a few steps on one frame, before the inversion that takes most of the wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from mive.editing.samplers import modulated_steps
from mive.method.denoiser import Conditions
from mive.method.sampling import Edits, Sampler
from mive.method.schedule import Grids
from mive.plans import Lps
from mive.request import ResolvedSettings

STEPS: Final = 4
"""Denoising steps of a sketch at most; with 2, colours are not yet those of the caption."""


class Sketcher:
    """Edits single frames from noise of its own instead of inverted latents, so that nothing has to be inverted.

    What lies outside the matte follows the source under the same noise, as z̃ does in the edit.

    Args:
        sampler: the edit's own; its ``inverted`` is not looked at.
        z_0: [N, C, h, w], the window's source.
        seeds: of each instance's noise.
        settings: how many of the steps are modulated.
        told: given the steps done and all, over all instances, after each; it may raise to stop.
    """

    def __init__(
        self,
        sampler: Sampler,
        z_0: Tensor,
        seeds: Sequence[int],
        settings: ResolvedSettings,
        told: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._sampler, self._z_0, self._seeds, self._told = sampler, z_0, seeds, told
        whole = sampler.grids.sampling
        self._grids = Grids(whole[:: -(-len(whole) // STEPS)], ())
        self._steps = len(self._grids.sampling)
        modulated = modulated_steps(settings, self._steps)
        self._plan = tuple(Lps(s, modulated=s < modulated) for s in range(self._steps))
        self._done = 0

    @property
    def forwards(self) -> int:
        """Frames that the networks compute for sketches of all instances, with and without caption."""
        return 2 * self._steps * len(self._seeds)

    def sketch(self, instance: int, frame: int) -> Tensor:
        """ẑ_0 [C, h, w] of one instance in one frame.

        Args:
            instance: its index.
            frame: index in the window.
        """
        edit = self._sampler
        alone = replace(
            edit,
            grids=self._grids,
            edits=_edits_of(edit.edits, instance),
            conditions=_conditions_of(edit.conditions, instance, frame),
            masks=edit.masks[instance : instance + 1, frame : frame + 1],
            inverted=self._noised(instance, frame),
            initial=None,
        )
        z = self._z_0[frame]
        for state in alone.run(self._plan):
            self._done += 1
            self._told(self._done, self._steps * len(self._seeds))
            assert state.instances is not None
            z = state.instances[0, 0]
        return z

    def _noised(self, instance: int, frame: int) -> dict[int | None, Tensor]:
        z_0, schedule = self._z_0[frame : frame + 1], self._sampler.schedule
        noise = torch.randn(z_0.shape, generator=torch.Generator().manual_seed(self._seeds[instance])).to(z_0.device)
        alphas = {t: schedule.alpha(t) for t in self._grids.sampling}
        return {None: z_0, **{t: alpha**0.5 * z_0 + (1 - alpha) ** 0.5 * noise for t, alpha in alphas.items()}}


def _edits_of(edits: Edits, instance: int) -> Edits:
    return replace(
        edits,
        captions=(edits.captions[instance],),
        guidance=(edits.guidance[instance],),
        steering=lambda s, t, steps, items: edits.steering(s, t, steps, [instance] * len(items)),
    )


def _conditions_of(conditions: Conditions, instance: int, frame: int) -> Conditions:
    """One instance and one frame of a window's; a single frame has no trajectories."""
    return replace(
        conditions,
        hint=None if conditions.hint is None else conditions.hint[frame : frame + 1],
        masks={size: mask[instance : instance + 1, frame : frame + 1] for size, mask in conditions.masks.items()},
        trajectories={},
    )
