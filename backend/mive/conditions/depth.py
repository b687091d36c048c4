"""Depth maps as the ControlNet's condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

_METRIC_MODELS = frozenset({"glpn", "zoedepth"})
_NEAREST_METRE = 1e-3


def estimate_depth(model: Any, processor_config: Mapping[str, Any], frames: npt.NDArray[Any], batch: int = 4) -> Tensor:
    """Depth of a clip, near bright and far dark, as depth ControlNets are trained on.

    Normalised over all frames at once, so that it does not flicker. Depth that is the same
    everywhere, or not finite, becomes zero.

    Args:
        model: a transformers AutoModelForDepthEstimation; one that predicts metres (by its
            config) is inverted, all others predict inverse depth already.
        processor_config: what the model's preprocessor_config.json says: size,
            keep_aspect_ratio, ensure_multiple_of or size_divisor, image_mean, image_std.
        frames: RGB [N, H, W, 3], uint8 or float in 0..1 (values outside are clipped).
        batch: frames per forward.

    Returns:
        float32 [N, 3, H, W] in 0..1 on the model's device, the channels sharing memory.
    """
    height, width = frames.shape[1:3]
    size = _model_size(processor_config, height, width)
    maps = []
    with torch.inference_mode():
        for first in range(0, len(frames), batch):
            pixels = _pixels(processor_config, frames[first : first + batch], size)
            depth = model(pixel_values=pixels.to(model.device, model.dtype)).predicted_depth
            depth = depth.float().reshape(len(pixels), 1, *depth.shape[-2:])
            if _is_metric(model.config):
                depth = 1 / depth.clamp(min=_NEAREST_METRE)
            maps.append(_resize(depth, (height, width)))
    # Cloned out of inference mode, so that the result is an ordinary tensor.
    return _normalise(torch.cat(maps).clone()).expand(-1, 3, -1, -1)


def _normalise(depth: Tensor) -> Tensor:
    """To 0..1 over the whole clip."""
    finite = depth.isfinite()
    if not finite.any():
        return torch.zeros_like(depth)
    low, high = depth[finite].min(), depth[finite].max()
    if high <= low:
        return torch.zeros_like(depth)
    return torch.where(finite, (depth - low) / (high - low), 0)


def _pixels(config: Mapping[str, Any], frames: npt.NDArray[Any], size: tuple[int, int]) -> Tensor:
    """Frames as the model wants them, float32 [n, 3, h, w]."""
    images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    images = images.float() / 255 if frames.dtype == np.uint8 else images.float()
    images = _resize(images.nan_to_num().clamp(0, 1), size)
    if not config.get("do_normalize", True):
        return images
    mean, std = (
        torch.tensor(config.get(key, [0.5, 0.5, 0.5])).reshape(1, 3, 1, 1) for key in ("image_mean", "image_std")
    )
    return (images - mean) / std


def _model_size(config: Mapping[str, Any], height: int, width: int) -> tuple[int, int]:
    """The size the model sees; with keep_aspect_ratio the side that changes less decides."""
    size = config.get("size")
    multiple = int(config.get("ensure_multiple_of") or config.get("size_divisor") or 1)
    if not config.get("do_resize", True) or size is None:
        scales = (1.0, 1.0)
    else:
        wanted = (size, size) if isinstance(size, int) else (size["height"], size["width"])
        scales = (wanted[0] / height, wanted[1] / width)
        if config.get("keep_aspect_ratio", False):
            scale = min(scales, key=lambda x: abs(1 - x))
            scales = (scale, scale)
    rows, columns = (
        max(multiple, round(side * scale / multiple) * multiple)
        for side, scale in zip((height, width), scales, strict=True)
    )
    return rows, columns


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(images.shape[-2:]) == size:
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def _is_metric(config: Any) -> bool:
    return (
        getattr(config, "depth_estimation_type", "") == "metric" or getattr(config, "model_type", "") in _METRIC_MODELS
    )
