"""A decoder that is trained on latents that are off."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from mive.evaluate.training.decoder import SIDE, WORST, crops, errors, train_decoder
from mive.evaluate.training.rendering import CHUNK, HELD_OUT_SEEDS, render
from mive.evaluate.training.scenes import Scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    folder = tmp_path_factory.mktemp("scenes")
    render(folder, HELD_OUT_SEEDS, CHUNK, 1)
    found = Scenes(folder, CHUNK, torch.device("cpu"))
    found.refresh()
    return found


def small() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8), latent_channels=4, norm_num_groups=2, scaling_factor=0.5,
    )  # fmt: skip


def test_a_third_of_the_crops_is_seen_closer(scenes: Scenes) -> None:
    images, things = crops(scenes, 6, torch.Generator().manual_seed(1))
    assert images.shape == (6, 3, SIDE, SIDE)
    assert things.shape == (6, 1, SIDE, SIDE)
    assert images.abs().max() <= 1
    pairs = things.view(6, 1, SIDE // 2, 2, SIDE // 2, 2)
    enlarged = (pairs == pairs[:, :, :, :1, :, :1]).flatten(1).all(1)
    assert enlarged[4:].all()


def test_errors_are_none_for_some_and_never_more_than_the_worst() -> None:
    found = errors(torch.zeros(400, 4, 12, 12), torch.Generator().manual_seed(2))
    size = found.std((1, 2, 3))
    assert 0.15 < (size == 0).float().mean() < 0.35
    assert size.max() < 1.3 * WORST
    # Coarse and fine: some are alike from latent to latent, some are not.
    step = (found[..., 1:] - found[..., :-1]).std((1, 2, 3)) / size.clamp(min=1e-6)
    wrong = step[size > 0]
    assert wrong.min() < 0.8
    assert wrong.max() > 1.2


def test_the_encoder_stays_and_the_decoder_learns(scenes: Scenes, tmp_path: Path) -> None:
    vae = small()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    train_decoder(scenes, vae, tmp_path, 2.0, 3)
    changed = {name.split(".")[0] for name, value in vae.state_dict().items() if not torch.equal(value, before[name])}
    assert changed <= {"decoder", "post_quant_conv"}
    assert "decoder" in changed
    assert all(value.dtype == torch.float32 for value in vae.state_dict().values())
