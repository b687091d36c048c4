"""Stock Stable Diffusion networks made to see all frames of a clip ("3D"), in place.

Self-attention sees all frames, and the group norms of ResNets and of the output pool their
statistics over frames. The group norm in front of transformers stays per frame. No weight is
added or changed, so a network can be saved and loaded as before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from diffusers.models.attention_processor import Attention
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from mive.errors import BundleError
from mive.method.denoiser import Size
from mive.networks.norm import NormWeights, pooled_norm
from mive.networks.unet.frames import FrameContext
from mive.networks.unet.processors import (
    CrossAttentionProcessor,
    SelfAttentionProcessor,
)
from mive.settings import CONTROL_ATTENTION, ControlAttention

Network: TypeAlias = UNet2DConditionModel | ControlNetModel


class PooledGroupNorm(nn.GroupNorm):
    """Group norm whose statistics cover the N frames of an item, with the SiLU that follows it."""

    def __init__(self, norm: nn.GroupNorm, context: FrameContext) -> None:
        super().__init__(norm.num_groups, norm.num_channels, norm.eps, affine=False)
        self.affine = norm.affine
        self.weight, self.bias = norm.weight, norm.bias
        self.context = context

    def forward(self, x: Tensor) -> Tensor:
        """x [B·N, C, h, w] to the same shape, activated."""
        weights = NormWeights(self.weight, self.bias, self.num_groups, self.eps)
        return pooled_norm(x, weights, self.context.inputs.frames, True)


class AfterNorm(nn.Module):
    """Stands where a ResNet activates: its norms have done so, for the time embedding [B·N, c] nobody has."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.ndim == 4 else F.silu(x)


def inflate(network: Network, self_attention: ControlAttention = CONTROL_ATTENTION) -> FrameContext:
    """Turn a stock U-Net or ControlNet into its inflated self, in place.

    With default `FrameInputs` the network still is the stock one. Modulation and flow-guided
    attention apply to a U-Net only.

    Args:
        network: of the Stable Diffusion layout; all its attention sits in transformers.
        self_attention: "all" sees all frames; "frame" only its own (ControlNets of some papers).

    Returns:
        The context whose `FrameContext.given` sets what the next forward sees.

    Raises:
        BundleError: the network has attention of another layout.
    """
    _check_layout(network)
    context = FrameContext()
    guided = isinstance(network, UNet2DConditionModel)
    for module in network.modules():
        if isinstance(module, ResnetBlock2D):
            module.norm1 = PooledGroupNorm(module.norm1, context)
            module.norm2 = PooledGroupNorm(module.norm2, context)
            module.nonlinearity = AfterNorm()
        elif isinstance(module, Transformer2DModel):
            module.register_forward_pre_hook(_record_size(context))
    if isinstance(getattr(network, "conv_norm_out", None), nn.GroupNorm):
        network.conv_norm_out = PooledGroupNorm(network.conv_norm_out, context)
        network.conv_act = AfterNorm()
    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(
                CrossAttentionProcessor(context, guided)
                if module.is_cross_attention
                else SelfAttentionProcessor(context, self_attention, guided)
            )
    return context


def attention_sizes(network: Network, latent_size: Size) -> list[Size]:
    """(h, w) of every attention size of a network on latents of ``latent_size``, finest first.

    The first is the one where FLATTEN's flow-guided attention belongs.
    """
    sizes: list[Size] = []
    size = latent_size
    for block in network.down_blocks:
        if getattr(block, "attentions", None):
            sizes.append(size)
        if block.downsamplers:
            size = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    if getattr(network.mid_block, "attentions", None):
        sizes.append(size)
    return list(dict.fromkeys(sizes))


def _record_size(context: FrameContext) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
        height, width = args[0].shape[-2:]
        context.size = (height, width)

    return hook


def _check_layout(network: Network) -> None:
    for name, module in network.named_modules():
        if isinstance(module, ResnetBlock2D) and not (
            isinstance(module.nonlinearity, nn.SiLU) and module.time_embedding_norm == "default"
        ):
            raise BundleError(
                f"block {name} of the {type(network).__name__} activates or takes the timestep in another way",
                expected="a network of the Stable Diffusion 1.x/2.x layout",
                fix="use a bundle of that layout",
            )
        if isinstance(module, Attention) and (
            ".transformer_blocks." not in name
            or module.group_norm is not None
            or module.norm_cross is not None
            or module.norm_q is not None
            or module.added_kv_proj_dim is not None
            or not module.scale_qk
        ):
            raise BundleError(
                f"attention layer {name} of the {type(network).__name__} has another layout",
                expected="a network of the Stable Diffusion 1.x/2.x layout",
                fix="use a bundle of that layout",
            )
