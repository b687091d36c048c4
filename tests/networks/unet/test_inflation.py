"""Inflated networks against stock ones, on small random configurations."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from mive.attention.dense_diffusion import DenseDiffusion
from mive.attention.ipr import ipr_strength
from mive.attention.roles import TokenRoles
from mive.conditions.trajectories import trajectories
from mive.errors import BundleError, EngineError
from mive.networks.masks import mask_pyramid, select_masks
from mive.networks.unet import processors
from mive.networks.unet.frames import FrameContext, FrameInputs
from mive.networks.unet.inflation import (
    PooledGroupNorm,
    attention_sizes,
    inflate,
)

SIZE = (8, 12)
LAYOUTS: dict[str, dict[str, Any]] = {
    # Blocks named as in Stable Diffusion 1.5, where attention_head_dim means the number of heads.
    "sd15": {
        "block_out_channels": (16, 32, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": 8,
    },
    # As in 2.1: linear projections, a head count per level; and attention only further down.
    "linear": {
        "block_out_channels": (16, 32),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": (2, 4),
        "use_linear_projection": True,
    },
}


def randomise(network: nn.Module) -> nn.Module:
    """Random norms too, and no zero convolutions: every path matters."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        if parameter.ndim == 1 or not parameter.any():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data = parameter.data + 0.2 * noise
    return network.eval().requires_grad_(False)


def unet(layout: str) -> UNet2DConditionModel:
    torch.manual_seed(0)
    fixed = {"layers_per_block": 1, "cross_attention_dim": 24, "norm_num_groups": 4}
    return randomise(UNet2DConditionModel(**fixed, **LAYOUTS[layout]))


def controlnet(layout: str) -> ControlNetModel:
    torch.manual_seed(0)
    config = {k: v for k, v in LAYOUTS[layout].items() if k != "up_block_types"}
    fixed = {"layers_per_block": 1, "cross_attention_dim": 24, "norm_num_groups": 4}
    hint = {"conditioning_embedding_out_channels": (4, 8)}
    return randomise(ControlNetModel(**fixed, **hint, **config))


def batch(items: int, frames: int) -> tuple[Tensor, Tensor]:
    """Latents [B·N, 4, h, w] and captions [B, 77, 24]."""
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(items * frames, 4, *SIZE, generator=generator),
        torch.randn(items, 77, 24, generator=generator),
    )


def ipr_inputs(network: UNet2DConditionModel, frames: int, **changes: Any) -> FrameInputs:
    """An unconditional item and two instances; the second is not there in the last frame."""
    masks = torch.zeros(2, frames, *SIZE, dtype=torch.bool)
    masks[0, :, 1:4, 2:6], masks[1, :-1, 5:, 5:] = True, True
    sizes = attention_sizes(network, SIZE)
    fields: dict[str, Any] = {
        "frames": frames,
        "modulation": ipr_strength(1, 20, lambda_=[0.4, 0.4, 0.2], lambda_r=0.6),
        "modulated": torch.tensor([False, True, True]),
        "masks": select_masks(mask_pyramid(masks, sizes), [None, 0, 1]),
        "roles": TokenRoles(torch.tensor([0, 3, 5])),
        "trajectories": {sizes[0]: trajectories(torch.ones(frames - 1, 2, 64, 96), sizes[0])},
    }
    return FrameInputs(**(fields | changes))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_frame_is_the_stock_unet(layout: str) -> None:
    z, c = batch(3, 1)
    stock = unet(layout)
    expected = stock(z, 500, c).sample
    network = deepcopy(stock)
    context = inflate(network)
    torch.testing.assert_close(network(z, 500, c).sample, expected, atol=1e-5, rtol=0)
    with context.given(FrameInputs(frames=1)):
        torch.testing.assert_close(network(z, 500, c).sample, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_frame_is_the_stock_controlnet(layout: str) -> None:
    z, c = batch(3, 1)
    hint = torch.rand(3, 3, SIZE[0] * 2, SIZE[1] * 2, generator=torch.Generator().manual_seed(3))
    stock = controlnet(layout)
    expected = stock(z, 500, c, hint, return_dict=False)
    network = deepcopy(stock)
    inflate(network)
    got = network(z, 500, c, hint, return_dict=False)
    for ours, theirs in zip([*got[0], got[1]], [*expected[0], expected[1]], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_frames_that_are_all_the_same_come_out_as_one_frame(layout: str) -> None:
    z, c = batch(2, 1)
    network = unet(layout)
    expected = network(z, 500, c).sample.repeat_interleave(3, 0)
    context = inflate(network)
    with context.given(FrameInputs(frames=3)):
        got = network(z.repeat_interleave(3, 0), 500, c).sample
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def pooled_at(network: UNet2DConditionModel | ControlNetModel, sizes: frozenset[tuple[int, int]]) -> Tensor:
    """The output on four frames (of a ControlNet its mid block's)."""
    z, c = batch(2, 4)
    context = inflate(network)
    with context.given(FrameInputs(frames=4, pooled=sizes)):
        if isinstance(network, UNet2DConditionModel):
            return network(z, 500, c).sample
        hint = torch.rand(8, 3, SIZE[0] * 2, SIZE[1] * 2, generator=torch.Generator().manual_seed(3))
        return network(z, 500, c, hint, return_dict=False)[1]


@pytest.mark.parametrize("make", [unet, controlnet], ids=["unet", "controlnet"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_frames_are_pooled_at_the_sizes_that_are_named(layout: str, make: Any) -> None:
    network = make(layout)
    sizes = attention_sizes(network, SIZE)
    dense, elsewhere, finest = (
        pooled_at(deepcopy(network), chosen) for chosen in (frozenset(), frozenset({(1, 1)}), frozenset(sizes[:1]))
    )
    assert torch.equal(elsewhere, dense)
    change = (finest - dense).abs().max()
    assert 1e-5 < change < 0.2 * dense.abs().max()


@pytest.mark.parametrize("modulation", ["ipr", "dense_diffusion"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_batch_is_its_items_one_by_one(layout: str, modulation: str) -> None:
    z, c = batch(3, 4)
    network = unet(layout)
    context = inflate(network)
    change = {"modulation": DenseDiffusion(900)} if modulation == "dense_diffusion" else {}
    inputs = ipr_inputs(network, 4, **change)
    with context.given(inputs):
        together = network(z, 500, c).sample
    for item in range(3):
        assert inputs.modulated is not None
        assert inputs.roles is not None
        row = torch.tensor([item])
        alone = ipr_inputs(
            network,
            4,
            modulation=change.get("modulation") or inputs.modulation.rows(row),  # type: ignore[union-attr]
            modulated=inputs.modulated[row],
            masks={size: masks[row] for size, masks in inputs.masks.items()},
            roles=inputs.roles.rows(row),
        )
        with context.given(alone):
            one = network(z[4 * item : 4 * item + 4], 500, c[row]).sample
        torch.testing.assert_close(together[4 * item : 4 * item + 4], one, atol=1e-5, rtol=1e-5)


def test_captions_may_come_once_per_frame() -> None:
    z, c = batch(3, 2)
    network = unet("sd15")
    context = inflate(network)
    with context.given(ipr_inputs(network, 2)):
        per_item = network(z, 500, c).sample
        per_frame = network(z, 500, c.repeat_interleave(2, 0)).sample
    torch.testing.assert_close(per_item, per_frame, atol=1e-5, rtol=1e-5)


def test_modulation_changes_modulated_items_only(monkeypatch: pytest.MonkeyPatch) -> None:
    z, c = batch(3, 4)
    network = unet("sd15")
    context = inflate(network)

    def sample(inputs: FrameInputs) -> Tensor:
        with context.given(inputs):
            out: Tensor = network(z, 500, c).sample
        return out.unflatten(0, (3, 4))

    plain = sample(ipr_inputs(network, 4, modulation=None))
    ipr = sample(ipr_inputs(network, 4))
    dense = sample(ipr_inputs(network, 4, modulation=DenseDiffusion(900)))
    for modulated in (ipr, dense):
        torch.testing.assert_close(modulated[0], plain[0], atol=1e-5, rtol=1e-5)
        assert ((modulated - plain)[1:].abs().amax((2, 3, 4)) > 1e-3).all()
    monkeypatch.setattr(processors, "_PROBABILITIES_PER_CHUNK", 1)
    torch.testing.assert_close(sample(ipr_inputs(network, 4)), ipr, atol=1e-5, rtol=1e-5)


def test_flow_attention_acts_at_the_finest_attention_size() -> None:
    z, c = batch(1, 3)
    network = unet("sd15")
    context = inflate(network)
    paths = trajectories(torch.full((2, 2, 64, 96), 8.0), SIZE)
    out = {}
    for mode in ("none", "flatten", "old_qk"):
        inputs = FrameInputs(frames=3, trajectories={SIZE: paths}, flow_attention=mode)  # type: ignore[arg-type]
        with context.given(inputs):
            out[mode] = network(z, 500, c).sample
    with context.given(FrameInputs(frames=3)):
        torch.testing.assert_close(out["none"], network(z, 500, c).sample)
    assert (out["flatten"] - out["none"]).abs().max() > 1e-3
    assert (out["flatten"] - out["old_qk"]).abs().max() > 1e-3


def test_controlnet_may_keep_its_self_attention_per_frame() -> None:
    z, c = batch(1, 2)
    hint = torch.rand(2, 3, SIZE[0] * 2, SIZE[1] * 2, generator=torch.Generator().manual_seed(3))
    mid = {}
    for mode in ("all", "frame"):
        network = controlnet("sd15")
        with inflate(network, mode).given(FrameInputs(frames=2)):  # type: ignore[arg-type]
            mid[mode] = network(z, 500, c, hint, return_dict=False)[1]
    assert (mid["all"] - mid["frame"]).abs().max() > 1e-4


def test_pooled_group_norm_is_group_norm_over_clips_and_silu() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 8, 4, 5, generator=generator)  # [b, f, c, h, w]
    norm = nn.GroupNorm(4, 8)
    norm.weight.data.uniform_(0.5, 2, generator=generator)
    norm.bias.data.uniform_(-1, 1, generator=generator)
    context = FrameContext()
    with context.given(FrameInputs(frames=3)):
        pooled = PooledGroupNorm(norm, context)(x.flatten(0, 1))
    expected = F.silu(norm(x.transpose(1, 2)).transpose(1, 2).flatten(0, 1))
    torch.testing.assert_close(pooled, expected)
    torch.testing.assert_close(PooledGroupNorm(norm, context)(x[0]), F.silu(norm(x[0])))


def test_norms_are_pooled_in_resnets_and_at_the_end_but_not_before_transformers() -> None:
    network = unet("sd15")
    names = set(network.state_dict())
    inflate(network)
    kinds = {n: type(m) for n, m in network.named_modules() if isinstance(m, nn.GroupNorm)}
    assert {kind for n, kind in kinds.items() if ".attentions." in n} == {nn.GroupNorm}
    assert {kind for n, kind in kinds.items() if ".attentions." not in n} == {PooledGroupNorm}
    assert kinds["conv_norm_out"] is PooledGroupNorm
    assert set(network.state_dict()) == names


@pytest.mark.parametrize("size", [(8, 12), (9, 7)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_attention_sizes_are_those_the_network_runs_at(layout: str, size: tuple[int, int]) -> None:
    network = unet(layout)
    context = inflate(network)
    seen = set()

    def note(*_: object) -> None:
        seen.add(context.size)

    for module in network.modules():
        if type(module).__name__ == "BasicTransformerBlock":
            module.register_forward_hook(note)
    network(torch.zeros(1, 4, *size), 1, torch.zeros(1, 77, 24))
    sizes = attention_sizes(network, size)
    assert set(sizes) == seen
    assert sizes == sorted(sizes, reverse=True)


def test_bfloat16_runs_close_to_float32() -> None:
    z, c = batch(3, 2)
    network = unet("sd15")
    context = inflate(network)
    with context.given(ipr_inputs(network, 2)):
        full = network(z, 500, c).sample
        network.to(torch.bfloat16)
        half = network(z.bfloat16(), 500, c.bfloat16()).sample
    assert half.dtype == torch.bfloat16
    assert (half.float() - full).abs().mean() < 0.03 * full.abs().mean()


def test_inputs_move_to_a_device_as_a_whole() -> None:
    moved = ipr_inputs(unet("sd15"), 2).to(torch.device("meta"))
    assert moved.roles is not None
    tensors = [*moved.masks.values(), *moved.trajectories.values(), moved.roles.n_text]
    assert {x.device.type for x in tensors} == {"meta"}
    assert moved.modulated_items() == [1, 2]


def test_missing_masks_and_roles_are_named() -> None:
    z, c = batch(3, 2)
    network = unet("sd15")
    context = inflate(network)
    with context.given(ipr_inputs(network, 2, masks={})), pytest.raises(EngineError, match="masks"):
        network(z, 500, c)
    with (
        context.given(ipr_inputs(network, 2, roles=None)),
        pytest.raises(EngineError, match="role"),
    ):
        network(z, 500, c)


def test_another_layout_is_refused() -> None:
    network = UNet2DConditionModel(
        block_out_channels=(16,),
        down_block_types=("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",),
        cross_attention_dim=24,
        norm_num_groups=4,
    )
    with pytest.raises(BundleError, match="layout"):
        inflate(network)
