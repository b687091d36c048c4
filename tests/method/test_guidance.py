"""Forms of classifier-free guidance."""

from __future__ import annotations

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from torch import Tensor

from mive.method.guidance import RESCALED, guided
from mive.settings import GuidanceForm

SHAPE = (2, 3, 4, 6, 5)


def noises(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Noise without and with a caption, and two guidance scales."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(SHAPE, generator=generator)
    return base, base + 0.3 * torch.randn(SHAPE, generator=generator), torch.tensor([8.0, 14.0]).view(-1, 1, 1, 1, 1)


def everywhere() -> Tensor:
    return torch.ones(2, 3, 1, 6, 5)


def test_plain_guidance_is_the_line_through_both() -> None:
    base, conditional, scale = noises()
    assert torch.equal(guided(base, conditional, scale, everywhere()), base + scale * (conditional - base))
    assert torch.equal(guided(base[0], conditional, scale, everywhere()), base[0] + scale * (conditional - base[0]))


def test_rescaled_guidance_is_that_of_diffusers_in_each_frame() -> None:
    base, conditional, scale = noises()
    ours = guided(base, conditional, scale, everywhere(), "rescaled").flatten(0, 1)
    plain = (base + scale * (conditional - base)).flatten(0, 1)
    torch.testing.assert_close(ours, rescale_noise_cfg(plain, conditional.flatten(0, 1), guidance_rescale=RESCALED))


def test_projected_guidance_adds_only_what_is_across_the_conditional_noise() -> None:
    base, conditional, scale = noises()
    added = guided(base, conditional, scale, everywhere(), "projected") - conditional
    along = (added * conditional).sum((2, 3, 4))
    assert along.abs().max() < 1e-3
    change = conditional - base
    across = change - (change * conditional).sum((2, 3, 4), keepdim=True) / (conditional**2).sum(
        (2, 3, 4), keepdim=True
    ) * conditional  # fmt: skip
    torch.testing.assert_close(added, (scale - 1) * across, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("form", ["plain", "rescaled", "projected"])
def test_a_scale_of_one_is_the_conditional_noise(form: GuidanceForm) -> None:
    base, conditional, _ = noises()
    one = torch.ones(2, 1, 1, 1, 1)
    torch.testing.assert_close(guided(base, conditional, one, everywhere(), form), conditional)


@pytest.mark.parametrize("form", ["rescaled", "projected"])
def test_what_lies_outside_a_mask_has_no_say_inside(form: GuidanceForm) -> None:
    base, conditional, scale = noises()
    masks = torch.zeros(2, 3, 1, 6, 5)
    masks[..., 1:4, 1:4] = 1
    masks[1, 2] = 0
    other = torch.where(masks > 0, conditional, 5 * noises(1)[1])
    ours, theirs = (guided(base, c, scale, masks, form) for c in (conditional, other))
    assert torch.equal(ours * masks, theirs * masks)
    assert ours.isfinite().all()
