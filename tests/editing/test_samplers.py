"""What a window's sampler begins with."""

from __future__ import annotations

import torch

from mive.editing.samplers import first_latents
from mive.request import EditRequest, Instance, Settings


def test_a_variation_stays_inside_the_mattes() -> None:
    settings = Settings(variation=0.8, model_size=64)
    instances = (Instance(id=1, caption="a cube"), Instance(id=2, caption="a ball"))
    request = EditRequest(clip="clip.mkv", mattes="mattes", instances=instances, settings=settings)
    masks = torch.zeros(2, 3, 1, 8, 8)
    masks[0, ..., :4], masks[1, ..., 6:] = 1, 1
    latents = first_latents(request, settings.resolved({}), torch.zeros(3, 4, 8, 8), masks)
    assert latents is not None
    assert torch.equal((latents != 0).all(2, keepdim=True), masks.bool())
