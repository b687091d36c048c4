"""What goes into the programs of a bundle and comes out of them: names, shapes, dtypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch

from mive.networks.bundle import Bundle
from mive.networks.unet.inflation import attention_sizes
from mive_trt.buckets import Bucket
from mive_trt.executor import Kind, Port

KINDS: Final[tuple[Kind, ...]] = ("controlnet", "unet", "vae_decoder")


def input_ports(bundle: Bundle, kind: Kind, bucket: Bucket, dtype: torch.dtype) -> dict[str, Port]:
    """The inputs of a program, in order.

    With B items of N frames, latents of C × h × w, captions of L tokens of d numbers:

    - z [B·N, C, h, w] latents, t [1] timestep, text [B, L, d] text states;
    - ControlNet: hint [B·N, c, h, w] the embedded condition e, control_scale [1];
    - U-Net: n_text [B] tokens of each caption; masks_HxW [B, N, H, W] at each attention size, empty for an item that is
      not steered; warm_up, t_ratio and lambda_r [B], IPR's strength; trajectories [N·H·W, N] at the finest attention
      size, -1 where there is none, if N > 1; down_i and mid, ControlNet's residuals or zeros.
    - VAE decoder: z alone, [B·N, C, h, w].

    Args:
        dtype: of the networks; t and the strengths are float32 whatever it is.
    """
    items, frames, height, width = bucket
    z = Port((items * frames, bundle.latent_channels, height, width), dtype)
    if kind == "vae_decoder":
        return {"z": z}
    length, wide = bundle.tokenizer.model_max_length, bundle.layout.text.hidden_size
    common = {"z": z, "t": Port((1,), torch.float32), "text": Port((items, length, wide), dtype)}
    if kind == "controlnet":
        channels = bundle.layout.controlnet.block_out_channels[0]
        hint = Port((items * frames, channels, height, width), dtype)
        return {**common, "hint": hint, "control_scale": Port((1,), torch.float32)}
    sizes = attention_sizes(bundle.unet, (height, width))
    masks = {f"masks_{h}x{w}": Port((items, frames, h, w), torch.bool) for h, w in sizes}
    strengths = {name: Port((items,), torch.float32) for name in ("warm_up", "t_ratio", "lambda_r")}
    tokens = frames * sizes[0][0] * sizes[0][1]
    paths = {"trajectories": Port((tokens, frames), torch.int32)} if frames > 1 else {}
    residuals = {name: Port(shape, dtype) for name, shape in _residuals(bundle, bucket).items()}
    return {**common, "n_text": Port((items,), torch.int32), **masks, **strengths, **paths, **residuals}


def output_names(bundle: Bundle, kind: Kind) -> tuple[str, ...]:
    """The outputs of a program, in order: ControlNet's are the U-Net's inputs of the same names."""
    if kind == "controlnet":
        return tuple(_residuals(bundle, Bucket(1, 1, 1, 1)))
    return ("output",) if kind == "unet" else ("pixels",)


def _residuals(bundle: Bundle, bucket: Bucket) -> Mapping[str, tuple[int, ...]]:
    """Shapes of ControlNet's residuals: of the first convolution, each layer and downsampling, the middle."""
    items, frames, height, width = bucket
    config = bundle.controlnet.config
    shapes = [(config.block_out_channels[0], height, width)]
    for block, channels in zip(bundle.controlnet.down_blocks, config.block_out_channels, strict=True):
        shapes += [(channels, height, width)] * len(block.resnets)
        if block.downsamplers:
            height, width = (height + 1) // 2, (width + 1) // 2
            shapes.append((channels, height, width))
    named = {f"down_{number}": shape for number, shape in enumerate(shapes)}
    named["mid"] = (config.block_out_channels[-1], height, width)
    return {name: (items * frames, *shape) for name, shape in named.items()}
