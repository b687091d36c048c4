"""Which attention the networks send to the kernels, and that nothing else changes by it."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from tests.attention.agreement import Run, agree
from torch import Tensor

from mive.attention import kernels
from mive.attention.dense_diffusion import DenseDiffusion
from mive.attention.ipr import ipr_strength
from mive.attention.kernels import kernels_for
from mive.attention.modulation import Kernels
from mive.attention.roles import TokenRoles
from mive.conditions.trajectories import trajectories
from mive.networks.masks import mask_pyramid, select_masks
from mive.networks.unet import processors
from mive.networks.unet.frames import FrameContext, FrameInputs
from mive.networks.unet.inflation import attention_sizes, inflate

SIZE = (4, 5)
FRAMES = 2
ITEMS = 3

Counted = tuple[Kernels, list[str]]


@pytest.fixture(scope="module")
def unet() -> tuple[UNet2DConditionModel, FrameContext]:
    """An inflated U-Net of three cross-attention layers at its finest size and one below."""
    torch.manual_seed(0)
    network = UNet2DConditionModel(
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=(1, 2),
        cross_attention_dim=24,
        norm_num_groups=4,
    )
    return network.eval().requires_grad_(False), inflate(network)


@pytest.fixture
def counted(interpreter: Run) -> Counted:
    """Interpreted kernels, and a list of the names of those that were launched."""
    from mive.attention.flow.triton import flow_attention
    from mive.attention.ipr.triton import ipr_attention

    names: list[str] = []

    def count(kernel: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def launch(*args: Any) -> Tensor:
            names.append(kernel.__name__)
            return interpreter(kernel, *args)

        return launch

    return Kernels(count(ipr_attention), count(flow_attention)), names


def inputs(network: UNet2DConditionModel, **changes: Any) -> FrameInputs:
    """An unconditional item, whose mask must not matter, and two; the last is not there in the last frame."""
    masks = torch.zeros(2, FRAMES, *SIZE, dtype=torch.bool)
    masks[0, :, 1:3, 1:4], masks[1, :-1, 3:] = True, True
    sizes = attention_sizes(network, SIZE)
    fields: dict[str, Any] = {
        "frames": FRAMES,
        "modulation": ipr_strength(1, 20, lambda_=[0.4, 0.4, 0.2], lambda_r=0.6),
        "modulated": torch.tensor([False, True, True]),
        "masks": select_masks(mask_pyramid(masks, sizes), [0, 0, 1]),
        "roles": TokenRoles(torch.tensor([0, 3, 5])),
        "trajectories": {sizes[0]: trajectories(torch.ones(FRAMES - 1, 2, 32, 40) * 8, sizes[0])},
    }
    return FrameInputs(**(fields | changes))


def forward(unet: tuple[UNet2DConditionModel, FrameContext], given: FrameInputs, captions: int = 1) -> Tensor:
    """The output for random latents, with each caption given ``captions`` times."""
    network, context = unet
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(ITEMS * FRAMES, 4, *SIZE, generator=generator)
    c = torch.randn(ITEMS, 77, 24, generator=generator).repeat_interleave(captions, 0)
    device = network.device
    with context.given(given.to(device)):
        out: Tensor = network(z.to(device), 500, c.to(device)).sample
    return out.cpu()


@pytest.mark.parametrize(("captions", "flow_attention"), [(1, "flatten"), (FRAMES, "old_qk")])
def test_kernels_do_not_show(
    unet: tuple[UNet2DConditionModel, FrameContext],
    counted: Counted,
    captions: int,
    flow_attention: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = inputs(unet[0], flow_attention=flow_attention)
    expected = forward(unet, given, captions)
    replacement, names = counted
    monkeypatch.setattr(processors, "kernels_for", lambda device: replacement)
    agree(forward(unet, given, captions), expected)
    # One launch for all items in each of the four layers; flow-guided attention in the three fine ones.
    assert sorted(names) == ["flow_attention"] * 3 + ["ipr_attention"] * 4
    # What was given stays as it was.
    assert all(masks[0].any() for masks in given.masks.values())


def test_dense_diffusion_and_plain_attention_stay_with_torch(
    unet: tuple[UNet2DConditionModel, FrameContext], counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    replacement, names = counted
    monkeypatch.setattr(processors, "kernels_for", lambda device: replacement)
    network, _ = unet
    forward(unet, inputs(network, modulation=DenseDiffusion(900), trajectories={}))
    forward(unet, inputs(network, modulation=None, trajectories={}))
    assert names == []


def test_captions_longer_than_a_tile_stay_with_torch(
    unet: tuple[UNet2DConditionModel, FrameContext], counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    replacement, names = counted
    monkeypatch.setattr(processors, "kernels_for", lambda device: replacement)
    network, context = unet
    with context.given(inputs(network, trajectories={})):
        network(torch.zeros(6, 4, *SIZE), 500, torch.zeros(3, 129, 24))
    assert names == []


def test_devices_other_than_nvidia_gpus_have_no_kernels() -> None:
    for name in ("cpu", "meta", "mps"):
        assert kernels_for(torch.device(name)) is None
        assert "NVIDIA" in kernels.obstacle(torch.device(name))


def test_what_a_gpu_lacks_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert "8.0" in kernels.obstacle(gpu)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    monkeypatch.setenv("CC", "cc")
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert kernels.obstacle(gpu) == ""
    (tmp_path / "Python.h").unlink()
    assert "python3-dev" in kernels.obstacle(gpu)
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    assert "compiler" in kernels.obstacle(gpu)
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    assert "Triton is not installed" in kernels.obstacle(gpu)


def test_on_a_gpu_the_kernels_are_chosen_and_do_not_show(
    unet: tuple[UNet2DConditionModel, FrameContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    network = unet[0]
    given = inputs(network)
    expected = forward(unet, given)
    assert kernels_for(torch.device("cuda"))
    # cuDNN may round float32 convolutions to TF32.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    try:
        network.to("cuda")
        agree(forward(unet, given), expected)
    finally:
        network.to("cpu")
