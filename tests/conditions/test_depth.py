"""Depth maps from any depth-estimation model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.networks import sd15
from torch import Tensor

from mive.conditions.depth import estimate_depth

PLAIN = {"size": {"height": 8, "width": 8}, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}


class Brightness:
    """A model that takes the mean of the channels for inverse depth, and notes what it saw."""

    def __init__(self, **config: Any) -> None:
        self.config = SimpleNamespace(**config)
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.seen: list[Tensor] = []

    def __call__(self, pixel_values: Tensor) -> Any:
        self.seen.append(pixel_values)
        return SimpleNamespace(predicted_depth=pixel_values.mean(1))


def grey(*levels: float, size: tuple[int, int] = (16, 24)) -> np.ndarray:
    """One frame for each level, dark at the left half."""
    frames = np.zeros((len(levels), *size, 3), dtype=np.float32)
    for frame, level in zip(frames, levels, strict=True):
        frame[:, size[1] // 2 :] = level
    return frames


def test_depth_is_normalised_over_the_whole_clip() -> None:
    depth = estimate_depth(Brightness(), PLAIN, grey(0.8, 0.4), batch=1)
    assert depth.shape == (2, 3, 16, 24)
    assert (float(depth.min()), float(depth.max())) == pytest.approx((0, 1))
    assert float(depth[0, 0, 0, -1]) == pytest.approx(1)
    assert float(depth[1, 0, 0, -1]) == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_constant_depth_is_zero_and_never_nan(level: float) -> None:
    frames = np.full((2, 16, 16, 3), level, dtype=np.float32)
    assert torch.equal(estimate_depth(Brightness(), PLAIN, frames), torch.zeros(2, 3, 16, 16))


def test_what_is_not_finite_becomes_zero() -> None:
    class Broken(Brightness):
        def __call__(self, pixel_values: Tensor) -> Any:
            out = super().__call__(pixel_values)
            out.predicted_depth[:, :4] = torch.nan
            return out

    depth = estimate_depth(Broken(), PLAIN | {"do_resize": False}, grey(0.5, size=(8, 8)))
    assert (depth[0, 0, :4] == 0).all()
    assert float(depth.max()) == 1


def test_models_that_predict_metres_are_inverted() -> None:
    far_is_dark = estimate_depth(Brightness(model_type="zoedepth"), PLAIN, grey(1.0) + 0.0)
    assert float(far_is_dark[0, 0, 0, 0]) > float(far_is_dark[0, 0, 0, -1])


def test_batches_do_not_show() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)
    models = Brightness(), Brightness()
    depths = [estimate_depth(model, PLAIN, frames, batch=b) for model, b in zip(models, (2, 5), strict=True)]
    assert [len(x) for x in models[0].seen] == [2, 2, 1]
    torch.testing.assert_close(*depths)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"size": {"height": 32, "width": 32}}, (32, 32)),
        ({"size": 48}, (48, 48)),
        ({"size": {"height": 32, "width": 32}, "keep_aspect_ratio": True}, (32, 43)),
        (
            {"size": {"height": 32, "width": 32}, "keep_aspect_ratio": True,
             "ensure_multiple_of": 14},
            (28, 42),
        ),
        ({"size_divisor": 16}, (48, 64)),
        ({"do_resize": False, "size": 8}, (48, 64)),
    ],
)  # fmt: skip
def test_the_model_sees_the_size_its_config_asks_for(config: dict[str, Any], size: tuple[int, int]) -> None:
    model = Brightness()
    estimate_depth(model, config, grey(1.0, size=(48, 64)))
    assert tuple(model.seen[0].shape[-2:]) == size


def test_a_real_model_runs() -> None:
    torch.manual_seed(0)
    model = sd15.depth().eval()
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 56, 3), dtype=np.uint8)
    depth = estimate_depth(model, {"size": {"height": 32, "width": 32}}, frames)
    assert depth.shape == (3, 3, 40, 56)
    assert depth.isfinite().all()
    assert 0 <= float(depth.min()) <= float(depth.max()) <= 1
