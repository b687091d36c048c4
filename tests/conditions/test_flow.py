"""Optical flow between frames."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mive.conditions.flow import estimate_flow
from mive.errors import BundleError, RequestError


def moving_texture(dx: int, dy: int, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """Three frames [3, H, W, 3] uint8 of smooth noise that moves (dx, dy) pixels a frame."""
    noise = np.random.default_rng(0).random((size[0] + 40, size[1] + 40, 3)).astype(np.float32)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    rows, columns = np.ogrid[: size[0], : size[1]]
    return np.stack([smooth[20 + rows - dy * t, 20 + columns - dx * t] for t in range(3)]).astype(np.uint8)


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (-2, 4)])
def test_dis_finds_the_motion(dx: int, dy: int) -> None:
    flow = estimate_flow(moving_texture(dx, dy), "dis")
    assert flow.shape == (2, 2, 96, 128)
    assert flow.dtype == torch.float32
    middle = flow[..., 16:-16, 16:-16].flatten(2).median(-1).values
    expected = torch.tensor([[dx, dy], [dx, dy]]).float()
    torch.testing.assert_close(middle, expected, atol=0.3, rtol=0)


def test_float_frames_give_the_flow_of_their_bytes() -> None:
    frames = moving_texture(3, 1)
    assert torch.equal(estimate_flow(frames.astype(np.float32) / 255, "dis"), estimate_flow(frames, "dis"))


@pytest.mark.parametrize("size", [(4, 200), (9, 11)])
def test_dis_takes_frames_of_any_size(size: tuple[int, int]) -> None:
    flow = estimate_flow(moving_texture(0, 0, size), "dis")
    assert flow.shape == (2, 2, *size)
    assert flow.abs().max() < 0.1


def test_none_stands_still_and_one_frame_has_no_flow() -> None:
    frames = moving_texture(3, 0)
    assert torch.equal(estimate_flow(frames, "none"), torch.zeros(2, 2, 96, 128))
    assert estimate_flow(frames[:1], "dis").shape == (0, 2, 96, 128)


def test_raft_without_torchvision_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models.optical_flow", None)
    with pytest.raises(RequestError, match="pip install torchvision"):
        estimate_flow(moving_texture(1, 0), "raft")


@pytest.mark.slow
def test_raft_loads_weights_from_a_file(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    raft_large = pytest.importorskip("torchvision.models.optical_flow").raft_large
    torch.manual_seed(0)
    save_file(raft_large(weights=None).state_dict(), tmp_path / "raft.safetensors")
    flow = estimate_flow(moving_texture(1, 0), "raft", weights=tmp_path / "raft.safetensors")
    assert flow.shape == (2, 2, 96, 128)
    assert flow.isfinite().all()
    with pytest.raises(BundleError, match=r"settings\.flow = dis"):
        estimate_flow(moving_texture(1, 0), "raft", weights=tmp_path / "missing.safetensors")


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(RequestError, match="dis, raft or none"):
        estimate_flow(moving_texture(0, 0), "lucas")  # type: ignore[arg-type]
