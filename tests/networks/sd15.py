"""Saves bundles with the layer structure of Stable Diffusion 1.5, small and with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessor,
)

from mive.evaluate.training.text import write_tokenizer

TEXT_WIDTH = 32
LEVELS = (32, 64, 64, 64)
DOWN = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
_WIDE: Final = {"block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768, "norm_num_groups": 32}
FULL: Final[Mapping[str, Mapping[str, Any]]] = {
    "unet": _WIDE,
    "controlnet": {**_WIDE, "conditioning_embedding_out_channels": (16, 32, 96, 256)},
    "vae": {"block_out_channels": (128, 256, 512, 512), "norm_num_groups": 32},
    "text_encoder": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
    },
}
"""What makes the parts as large as Stable Diffusion 1.5's."""
UP = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3


def unet(**changes: Any) -> UNet2DConditionModel:
    """Four levels, attention in three, two layers each, eight heads: SD 1.5, but narrow."""
    config: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": LEVELS,
        "down_block_types": DOWN,
        "up_block_types": UP,
        "layers_per_block": 2,
        "attention_head_dim": 8,
        "cross_attention_dim": TEXT_WIDTH,
        "norm_num_groups": 8,
    }
    return UNet2DConditionModel(**{**config, **changes})


def controlnet(**changes: Any) -> ControlNetModel:
    config: dict[str, Any] = {
        "block_out_channels": LEVELS,
        "down_block_types": DOWN,
        "layers_per_block": 2,
        "attention_head_dim": 8,
        "cross_attention_dim": TEXT_WIDTH,
        "norm_num_groups": 8,
        "conditioning_embedding_out_channels": (4, 8, 8, 16),
    }
    network = ControlNetModel(**{**config, **changes})
    for parameter in network.parameters():
        if not parameter.any():  # the zero convolutions would hide the control
            nn.init.normal_(parameter, std=0.02)
    return network


def vae(**changes: Any) -> AutoencoderKL:
    config: dict[str, Any] = {
        "block_out_channels": (16, 32, 32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
        "norm_num_groups": 8,
    }
    return AutoencoderKL(**{**config, **changes})


def text_config(tokenizer: CLIPTokenizer, **changes: Any) -> CLIPTextConfig:
    config: dict[str, Any] = {
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "projection_dim": 16,
    }
    return CLIPTextConfig(
        **{**config, **changes},
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=32,
        patch_size=8,
        projection_dim=16,
    )
    text = text_config(tokenizer)
    both = {"text_config": text.to_dict(), "vision_config": vision.to_dict()}
    return CLIPModel(CLIPConfig(**both, projection_dim=16))


def depth() -> DPTForDepthEstimation:
    return DPTForDepthEstimation(
        DPTConfig(
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=32,
            patch_size=8,
            backbone_out_indices=[0, 1, 2, 3],
            neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=8,
            reassemble_factors=[4, 2, 1, 0.5],
            is_hybrid=False,
        )
    )


def save_sd15(folder: Path, prediction: str = "epsilon", *, full: bool = False) -> Path:
    """Saves a whole bundle with diffusers and transformers themselves, in float16, and returns it.

    It has no bundle.json, as no Stable Diffusion folder has one.

    Args:
        full: U-Net, ControlNet, VAE and text encoder have Stable Diffusion 1.5's true size: 2.8 GB.
    """
    torch.manual_seed(0)
    tokenizer = write_tokenizer(folder / "tokenizer")
    size_of: Mapping[str, Mapping[str, Any]] = FULL if full else {}
    networks = {
        "unet": unet(**size_of.get("unet", {})),
        "controlnet": controlnet(**size_of.get("controlnet", {})),
        "vae": vae(**size_of.get("vae", {})),
        "text_encoder": CLIPTextModel(text_config(tokenizer, **size_of.get("text_encoder", {}))),
        "depth": depth(),
        "clip": clip(tokenizer),
    }
    for part, network in networks.items():
        network.half().save_pretrained(folder / part)
    size = {"height": 32, "width": 32}
    DPTImageProcessor(size=size).save_pretrained(folder / "depth")
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder / "clip")
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        set_alpha_to_one=False,
        clip_sample=False,
        prediction_type=prediction,
    ).save_pretrained(folder / "scheduler")
    return folder
