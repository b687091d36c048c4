"""Sketches: what an edit may become, in a few steps on one frame, before the inversion that takes most of the wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from mive.engines.denoiser import Conditions
from mive.sampling import Edits, Sampler
from mive.schedule import Grids, Lps, NoiseSchedule

STEPS: Final = 4
"""Denoising steps of a sketch; with 2, colours are not yet those of the caption."""


class Sketcher:
    """Edits single frames from noise of its own instead of inverted latents, so that nothing has to be inverted.

    What lies outside the matte follows the source under the same noise, as z̃ does in the edit.

    Args:
        sampler: the edit's own; its ``inverted`` is not looked at.
        seed: of the noise.
        told: called after each step; it may raise to stop.
    """

    def __init__(self, sampler: Sampler, seed: int, told: Callable[[], None] = lambda: None) -> None:
        self._sampler = sampler
        self._seed = seed
        self._told = told
        whole = sampler.grids.sampling
        self._grids = Grids(whole[:: max(len(whole) // STEPS, 1)], ())

    def sketch(self, z_0: Tensor, instance: int, frame: int) -> Tensor:
        """ẑ_0 [C, h, w] of one instance in one frame.

        Args:
            z_0: [N, C, h, w], the window's source.
            instance: its index.
            frame: index in the window.
        """
        edit = self._sampler
        plan = tuple(Lps(s, modulated=True) for s in range(len(self._grids.sampling)))
        alone = replace(
            edit,
            grids=self._grids,
            edits=_one(edit.edits, instance),
            conditions=_frame(edit.conditions, instance, frame),
            masks=edit.masks[instance : instance + 1, frame : frame + 1],
            inverted=self._noised(z_0[frame : frame + 1], edit.schedule),
            initial=None,
            _background={},
        )
        z = z_0[frame]
        for state in alone.run(plan):
            self._told()
            assert state.instances is not None
            z = state.instances[0, 0]
        return z

    def _noised(self, z_0: Tensor, schedule: NoiseSchedule) -> dict[int | None, Tensor]:
        noise = torch.randn(z_0.shape, generator=torch.Generator().manual_seed(self._seed)).to(z_0.device)
        alphas = {t: schedule.alpha(t) for t in self._grids.sampling}
        return {None: z_0, **{t: alpha**0.5 * z_0 + (1 - alpha) ** 0.5 * noise for t, alpha in alphas.items()}}


def _one(edits: Edits, instance: int) -> Edits:
    return replace(
        edits,
        captions=(edits.captions[instance],),
        guidance=(edits.guidance[instance],),
        lambda_=(edits.lambda_[instance],),
        lambda_r=(edits.lambda_r[instance],),
    )


def _frame(conditions: Conditions, instance: int, frame: int) -> Conditions:
    """One instance and one frame of a window's; a single frame has no trajectories."""
    return replace(
        conditions,
        hint=None if conditions.hint is None else conditions.hint[frame : frame + 1],
        masks={size: mask[instance : instance + 1, frame : frame + 1] for size, mask in conditions.masks.items()},
        trajectories={},
    )
