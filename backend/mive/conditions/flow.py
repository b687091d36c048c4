"""Optical flow between the frames of a clip."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mive.errors import BundleError, RequestError
from mive.settings import Flow

Frames = npt.NDArray[np.uint8] | npt.NDArray[np.floating[Any]]

_DIS_MIN_SIDE = 16
_RAFT_MIN_SIDE = 128
_RAFT_MULTIPLE = 8


def estimate_flow(
    frames: Frames,
    method: Flow,
    *,
    weights: Path | None = None,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Forward optical flow from each frame to the next, in pixels.

    Args:
        frames: RGB [N, H, W, 3], uint8 or float in 0..1 (values outside are clipped).
        method: "dis" is OpenCV's dense inverse search, without weights; "raft" is torchvision's
            RAFT; "none" is zero flow, so that every trajectory stays where it is.
        weights: RAFT's weights as a safetensors state dict; None takes torchvision's own, which
            it downloads once.
        device: where RAFT runs.

    Returns:
        float32 [N-1, 2, H, W] on the CPU, (dx, dy): the pixel at (x, y) of frame t is at
        (x + dx, y + dy) in frame t + 1.

    Raises:
        RequestError: the method is unknown, or RAFT is asked for and torchvision is missing
            or does not fit torch.
        BundleError: RAFT's weights cannot be had.
    """
    count, height, width = frames.shape[:3]
    if method == "none" or count == 1:
        return torch.zeros(count - 1, 2, height, width)
    if method == "dis":
        return _dis(frames)
    if method == "raft":
        return _raft(frames, weights, torch.device(device))
    raise RequestError(
        f"there is no optical flow called {method!r}",
        expected="dis, raft or none",
        fix="choose one of them",
        field="settings.flow",
    )


def _dis(frames: Frames) -> Tensor:
    height, width = frames.shape[1:3]
    # DIS builds a pyramid of patches and refuses frames that have no room for one.
    pad = [(0, max(0, _DIS_MIN_SIDE - side)) for side in (height, width)]
    grey = [np.pad(cv2.cvtColor(_to_uint8(frame), cv2.COLOR_RGB2GRAY), pad, mode="edge") for frame in frames]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.empty((len(frames) - 1, 2, height, width), dtype=np.float32)
    for t, (here, there) in enumerate(pairwise(grey)):
        # A fresh field each time: the estimator may start from what it is handed.
        field = estimator.calc(here, there, np.zeros((*here.shape, 2), dtype=np.float32))
        flow[t] = field[:height, :width].transpose(2, 0, 1)
    return torch.from_numpy(flow)


def _raft(frames: Frames, weights: Path | None, device: torch.device) -> Tensor:
    model = _load_raft(weights).to(device).eval()
    height, width = frames.shape[1:3]
    padded = [max(_RAFT_MIN_SIDE, -(-n // _RAFT_MULTIPLE) * _RAFT_MULTIPLE) for n in (height, width)]
    images = torch.stack([torch.from_numpy(_to_uint8(frame)) for frame in frames])
    images = images.permute(0, 3, 1, 2).float().div(127.5).sub(1)
    images = torch.nn.functional.pad(images, (0, padded[1] - width, 0, padded[0] - height), mode="replicate")
    with torch.inference_mode():
        flow = [model(here[None].to(device), there[None].to(device))[-1][0].cpu() for here, there in pairwise(images)]
    return torch.stack(flow)[..., :height, :width].clone()


def _load_raft(weights: Path | None) -> torch.nn.Module:
    try:
        from torchvision.models.optical_flow import Raft_Large_Weights, raft_large
    except (ImportError, OSError, RuntimeError) as error:
        # A torchvision built for another torch fails with RuntimeError or OSError.
        raise RequestError(
            f"RAFT optical flow needs torchvision, which cannot be imported: {error}",
            expected="settings.flow = dis, or torchvision",
            fix="pip install torchvision (the release that belongs to your torch), or use dis",
            field="settings.flow",
        ) from error
    try:
        if weights is None:
            downloaded: torch.nn.Module = raft_large(weights=Raft_Large_Weights.DEFAULT)
            return downloaded
        from safetensors.torch import load_file

        model: torch.nn.Module = raft_large(weights=None)
        model.load_state_dict(load_file(weights))
        return model
    except Exception as error:
        raise BundleError(
            f"RAFT's weights cannot be loaded from {weights or 'the network'}: {error}",
            expected="a safetensors state dict of torchvision's raft_large, or a network",
            fix="run once with a network, or use settings.flow = dis",
        ) from error


def _to_uint8(frame: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if frame.dtype == np.uint8:
        return frame
    scaled: npt.NDArray[Any] = np.rint(np.clip(np.nan_to_num(frame), 0, 1) * 255)
    return scaled.astype(np.uint8)
