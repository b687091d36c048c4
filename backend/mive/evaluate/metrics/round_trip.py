"""What a bundle's VAE leaves of a picture: the best that an edit in its latents can be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mive.engines.devices import choose_device, memory_of
from mive.media.info import Pixels
from mive.media.paste import shown_to_model
from mive.media.sizes import model_frame, model_size
from mive.networks.bundle import load_vae
from mive.networks.bundle_files import find_bundle, find_part
from mive.networks.bundle_layout import bundle_defaults, read_layout
from mive.settings import Settings


class RoundTrip:
    """Pictures there and back through a VAE, at the size at which edits see them.

    Args:
        vae: an ``AutoencoderKL`` in fp32, which runs where it lies.
        short_side: pixels of the model's frames.
        multiple: what each side of these is a multiple of.
    """

    def __init__(self, vae: Any, short_side: int, multiple: int) -> None:
        self._vae = vae
        self._short_side = short_side
        self._multiple = multiple

    @classmethod
    def of_bundle(cls, name: str | Path, settings: Settings | None = None) -> RoundTrip:
        """The VAE of a bundle, on the fastest device there is, at the size of edits with these settings.

        Raises:
            BundleError: a part is missing or broken.
        """
        folder = find_bundle(name)
        layout = read_layout({part: find_part(folder, part) for part in ("unet", "controlnet", "vae", "text_encoder")})
        size = (settings or Settings()).resolved(bundle_defaults(folder)).model_size
        return cls(load_vae(folder, device=choose_device("auto")), size, layout.latent_multiple)

    @torch.inference_mode()
    def frames(self, frames: Iterable[Pixels]) -> Iterator[Pixels]:
        """Frames ``[H, W, 3]`` in any depth as float32 0..1 of the same size.

        Raises:
            OutOfMemory: the VAE has no room for a frame.
        """
        for frame in frames:
            height, width = frame.shape[:2]
            size = model_size(width, height, self._short_side, self._multiple)
            small = model_frame(shown_to_model(frame), size)
            yield model_frame(self._there_and_back(small), (height, width))

    def _there_and_back(self, small: Pixels) -> Pixels:
        device = next(self._vae.parameters()).device
        with memory_of(device):
            pixels = torch.from_numpy(small).to(device).permute(2, 0, 1)[None] * 2 - 1
            rebuilt = self._vae.decode(self._vae.encode(pixels).latent_dist.mean).sample[0]
        return np.asarray((rebuilt / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).cpu().numpy())
