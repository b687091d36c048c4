"""Pictures to a CLIP model's input, as its ``preprocessor_config.json`` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mive.errors import BundleError
from mive.media.info import Pixels

# What transformers' CLIP processor does where the file leaves a value out.
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_BICUBIC = 3

_MODES = {0: "nearest-exact", 2: "bilinear", _BICUBIC: "bicubic"}
"""Pillow's resampling numbers, which the config holds, by torch's names."""

_FILE = "clip/preprocessor_config.json"


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop to the centre, scale and normalise.

    Attributes:
        resize: the shorter side's length, or a fixed (height, width).
        crop: (height, width) cut from the centre after resizing.
        mode: torch's name of the resampling filter; bilinear and bicubic are antialiased.
        scale: factor from code values to the range of ``mean`` and ``std``.
        mean: of each channel.
        std: of each channel.
    """

    resize: int | tuple[int, int]
    crop: tuple[int, int]
    mode: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_config(cls, config: Mapping[str, Any], image_size: int) -> Preprocess:
        """Read a ``preprocessor_config.json``; what it leaves out is as in CLIP.

        Args:
            image_size: height and width of the model's input, from its vision config.

        Raises:
            BundleError: the config yields pictures of another size, or cannot be followed.
        """
        resize = _resize(config.get("size", image_size))
        whole = (resize, resize) if isinstance(resize, int) else resize
        crop = _extent(config.get("crop_size", image_size))
        if not config.get("do_center_crop", True):
            crop = (image_size, image_size) if isinstance(resize, int) else resize
        if crop != (image_size, image_size) or min(whole) < image_size:
            raise BundleError(
                f"{_FILE} makes pictures of {crop[1]}x{crop[0]} out of {whole[1]}x{whole[0]}",
                expected=f"the {image_size}x{image_size} that the CLIP model takes",
                fix="Copy the file from the model's original, or correct size and crop_size",
            )
        mode = _MODES.get(config.get("resample", _BICUBIC))
        if mode is None:
            raise BundleError(
                f"{_FILE} asks for resample {config['resample']}",
                expected="0 (nearest), 2 (bilinear) or 3 (bicubic)",
                fix="Use 3, as CLIP was trained",
            )
        scale = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
        if not config.get("do_normalize", True):
            return cls(resize, crop, mode, scale, (0.0,) * 3, (1.0,) * 3)
        mean, std = config.get("image_mean", _CLIP_MEAN), config.get("image_std", _CLIP_STD)
        return cls(resize, crop, mode, scale, tuple(mean), tuple(std))

    def __call__(self, image: Pixels) -> Tensor:
        """``[3, h, w]`` float32 from ``[H, W, 3]`` uint8 of any size."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        size = self._target(*pixels.shape[-2:])
        if pixels.shape[-2:] != size:
            smooth = self.mode != "nearest-exact"
            pixels = F.interpolate(pixels, size, mode=self.mode, antialias=smooth)
        top, left = (size[0] - self.crop[0]) // 2, (size[1] - self.crop[1]) // 2
        pixels = pixels[0, :, top : top + self.crop[0], left : left + self.crop[1]]
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return (pixels.float() * self.scale - mean[:, None, None]) / std[:, None, None]

    def _target(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.resize, int):
            return self.resize
        short = min(height, width)
        return self.resize * height // short, self.resize * width // short


def _resize(size: Any) -> int | tuple[int, int]:
    """``224``, ``{"shortest_edge": 224}`` or ``{"height": 224, "width": 224}``."""
    if isinstance(size, Mapping) and "shortest_edge" in size:
        return int(size["shortest_edge"])
    return _extent(size) if isinstance(size, Mapping) else int(size)


def _extent(size: Any) -> tuple[int, int]:
    """``224`` or ``{"height": 224, "width": 224}``."""
    if not isinstance(size, Mapping):
        return int(size), int(size)
    if not {"height", "width"} <= size.keys():
        raise BundleError(
            f"{_FILE} holds a size of {sorted(size)}",
            expected="height and width, or shortest_edge",
            fix="Copy the file from the model's original",
        )
    return int(size["height"]), int(size["width"])
