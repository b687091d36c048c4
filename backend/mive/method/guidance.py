"""Classifier-free guidance, and what keeps strong guidance from burning colours out."""

from __future__ import annotations

from typing import Final

from torch import Tensor

from mive.settings import GuidanceForm

RESCALED: Final = 0.7
"""φ of rescaled guidance, as its authors recommend."""


def guided(base: Tensor, conditional: Tensor, scale: Tensor, masks: Tensor, form: GuidanceForm = "plain") -> Tensor:
    """The guided noise of some instances.

    "rescaled" gives back the conditional noise's deviation by φ (Lin et al., Common Diffusion Noise Schedules and
    Sample Steps are Flawed, 2024); "projected" leaves out what only makes the conditional noise longer (Sadat et al.,
    Eliminating Oversaturation and Artifacts of High Guidance Scales, 2024). Both look at each instance and frame
    inside its mask alone.

    Args:
        base, conditional: [m, N, C, h, w] noise without and with the caption.
        scale: [m, 1, 1, 1, 1].
        masks: [m, N, 1, h, w].

    Returns:
        [m, N, C, h, w].
    """
    change = conditional - base
    if form == "projected":
        inside = conditional * masks
        length = (inside * inside).sum((2, 3, 4), keepdim=True).clamp(min=1e-12)
        along = (change * inside).sum((2, 3, 4), keepdim=True) / length
        # One part of it is the conditional noise's own step away from the base.
        return conditional + (scale - 1) * (change - along * conditional)
    noise = base + scale * change
    if form == "rescaled":
        ratio = _deviation(conditional, masks) / _deviation(noise, masks).clamp(min=1e-6)
        # Where a mask is empty there is nothing to compare.
        seen = masks.sum((2, 3, 4), keepdim=True) > 0
        noise = noise * (1 + RESCALED * (ratio - 1) * seen)
    return noise


def _deviation(noise: Tensor, masks: Tensor) -> Tensor:
    """[m, N, 1, 1, 1], over channels and the pixels of the mask."""
    count = (masks.sum((2, 3, 4), keepdim=True) * noise.shape[2]).clamp(min=1)
    mean = (noise * masks).sum((2, 3, 4), keepdim=True) / count
    return (((noise - mean) ** 2 * masks).sum((2, 3, 4), keepdim=True) / count).sqrt()
