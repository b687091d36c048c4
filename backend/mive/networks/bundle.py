"""A model bundle in memory: every network that an edit needs, ready to run.

Loading goes from configurations (:mod:`mive.networks.bundle_layout`) to weights
(:mod:`mive.networks.bundle_weights`), so that a model of the wrong kind fails at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import nn
from transformers import AutoModelForDepthEstimation, CLIPModel, CLIPTextModel, CLIPTokenizer

from mive.errors import BundleError, OutOfMemory
from mive.method.schedule import NoiseSchedule
from mive.networks.bundle_files import (
    EDIT_PARTS,
    BundleConfig,
    find_bundle,
    find_part,
    how_to_get,
    read_config,
    read_json,
)
from mive.networks.bundle_layout import Layout, bundle_defaults, read_layout
from mive.networks.bundle_weights import load_network, quiet
from mive.networks.unet.frames import FrameContext
from mive.networks.unet.inflation import inflate
from mive.settings import CONTROL_ATTENTION, ControlAttention

# The first fusion layer of a DPT has nothing to add, and published DPT weights leave this out.
_UNUSED_BY_DPT: Final = r"neck\.fusion_stage\.layers\.0\.residual_layer1\."


@dataclass(frozen=True, eq=False)
class Bundle:
    """The networks of a bundle, on one device, and what their configurations say.

    Attributes:
        name: the bundle's name, else how it was asked for.
        folder: where it lies; :func:`load_scorer` takes it.
        config: its bundle.json.
        layout: the networks' sizes.
        defaults: default settings under their JSON names, the model size among them.
        unet: inflated; a stock 2D network unless ``unet_context`` gives it inputs.
        controlnet: inflated, as the U-Net; its context is ``control_context``.
        vae: latents are its posterior's, minus ``shift_factor``, times ``scaling_factor``.
        tokenizer: CLIP's; ``model_max_length`` tokens at most.
        text_encoder: token ids [B, L] to states [B, L, d].
        schedule: the noise schedule that the U-Net was trained on.
        depth: a transformers depth estimator, for :func:`mive.conditions.depth.estimate_depth`.
        depth_config: its preprocessor_config.json.
    """

    name: str
    folder: Path
    config: BundleConfig
    layout: Layout
    defaults: Mapping[str, object]
    unet: UNet2DConditionModel
    unet_context: FrameContext
    controlnet: ControlNetModel
    control_context: FrameContext
    vae: AutoencoderKL
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    schedule: NoiseSchedule
    depth: Any
    depth_config: Mapping[str, Any]

    @property
    def latent_channels(self) -> int:
        """C of the latents [N, C, h, w]."""
        return self.layout.latent_channels

    @property
    def latent_factor(self) -> int:
        """Pixels per latent, along each side."""
        return self.layout.latent_factor

    @property
    def latent_multiple(self) -> int:
        """Pixels that each side of a frame must be a multiple of."""
        return self.layout.latent_multiple

    @property
    def scaling_factor(self) -> float:
        """What the VAE's latents are multiplied by, for the U-Net."""
        return self.layout.vae.scaling_factor

    @property
    def shift_factor(self) -> float:
        """What the VAE's latents are lessened by, before they are scaled."""
        return self.layout.vae.shift_factor or 0.0


class Scorer(NamedTuple):
    """CLIP as a judge: the model, its preprocessor_config.json, its tokenizer."""

    model: CLIPModel
    processor: dict[str, Any]
    tokenizer: CLIPTokenizer


def load_bundle(
    name: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    control_attention: ControlAttention = CONTROL_ATTENTION,
) -> Bundle:
    """Finds, checks and loads a bundle.

    Args:
        name: as :func:`mive.networks.bundle_files.find_bundle` takes it.
        device: where the networks go.
        dtype: of all weights, however they are stored.
        control_attention: "all" lets the ControlNet see all frames; "frame" one at a time.

    Raises:
        BundleError: something is missing, corrupt or does not fit; it names the file.
        OutOfMemory: the networks do not fit into the device's memory.
    """
    folder = find_bundle(name)
    at = {part: find_part(folder, part) for part in EDIT_PARTS}
    layout = read_layout(at)
    schedule = _read_schedule(at["scheduler"] / "scheduler_config.json")
    depth_config = read_json(at["depth"] / "preprocessor_config.json")
    tokenizer = _load_tokenizer(at["tokenizer"])
    _check_tokenizer(tokenizer, layout, at["tokenizer"])
    networks = {
        part: _place(load_network(kind, at[part], dtype, unused), device)
        for part, kind, unused in (
            ("unet", UNet2DConditionModel, ""),
            ("controlnet", ControlNetModel, ""),
            ("vae", AutoencoderKL, ""),
            ("text_encoder", CLIPTextModel, ""),
            ("depth", AutoModelForDepthEstimation, _UNUSED_BY_DPT),
        )
    }
    config = read_config(folder)
    return Bundle(
        name=config.name or str(name),
        folder=folder,
        config=config,
        layout=layout,
        defaults=bundle_defaults(folder),
        unet_context=inflate(networks["unet"]),
        control_context=inflate(networks["controlnet"], control_attention),
        tokenizer=tokenizer,
        schedule=schedule,
        depth_config=depth_config,
        **networks,
    )


def load_scorer(
    name: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Scorer:
    """The CLIP of a bundle, with nothing else of it loaded.

    A CLIP without a tokenizer of its own shares the bundle's.

    Args:
        name: as :func:`mive.networks.bundle_files.find_bundle` takes it.

    Raises:
        BundleError: something is missing or corrupt; it names the file.
        OutOfMemory: it does not fit into the device's memory.
    """
    folder = find_bundle(name)
    clip = find_part(folder, "clip")
    processor = read_json(clip / "preprocessor_config.json")
    own = (clip / "tokenizer_config.json").is_file()
    tokenizer = _load_tokenizer(clip if own else find_part(folder, "tokenizer"))
    model = _place(load_network(CLIPModel, clip, dtype), device)
    return Scorer(model, processor, tokenizer)


def _place(network: nn.Module, device: str | torch.device) -> Any:
    """The network on its device, its convolutions laid out as they run fastest."""
    try:
        return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"the {type(network).__name__} does not fit into the memory of {device}",
            expected="a device with enough free memory for the whole bundle",
            fix="Close what else uses the device, or set precision to bf16 or fp16",
        ) from error


def _read_schedule(path: Path) -> NoiseSchedule:
    config = read_json(path)
    for key in ("trained_betas", "rescale_betas_zero_snr"):
        if config.get(key):
            raise BundleError(
                f"{path} sets {key}, which MIVE does not support",
                expected="a schedule of beta_start, beta_end and beta_schedule",
                fix="Use another checkpoint",
            )
    try:
        return NoiseSchedule.from_config(config)
    except BundleError as error:
        raise BundleError(f"{path}: {error.what}", expected=error.expected, fix=error.fix) from error
    except (ValueError, TypeError) as error:
        raise BundleError(f"{path} is wrong: {error}", expected="numbers", fix=how_to_get(path)) from error


def _load_tokenizer(folder: Path) -> CLIPTokenizer:
    # Without its vocabulary transformers makes an empty tokenizer and says nothing.
    if not (folder / "tokenizer.json").is_file():
        for name in ("vocab.json", "merges.txt"):
            if not (folder / name).is_file():
                raise BundleError(
                    f"{folder / name} is missing",
                    expected="the tokenizer's vocabulary",
                    fix=how_to_get(folder / name),
                )
    read_json(folder / "tokenizer_config.json")
    try:
        with quiet():
            return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # on broken files the tokenizer raises whatever it likes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BundleError(
            f"the tokenizer in {folder} cannot be loaded: {reason}",
            expected="the vocabulary and merges of a CLIP tokenizer",
            fix=how_to_get(folder),
        ) from error


def _check_tokenizer(tokenizer: CLIPTokenizer, layout: Layout, folder: Path) -> None:
    """Every token and every position has its embedding in the text encoder."""
    vocabulary, length = layout.text.vocab_size, layout.text.max_position_embeddings
    if len(tokenizer) > vocabulary:
        raise BundleError(
            f"the tokenizer in {folder} has {len(tokenizer)} tokens",
            expected=f"at most {vocabulary}, the text encoder's vocab_size",
            fix="Use the tokenizer and text encoder of one model",
        )
    if tokenizer.model_max_length > length:
        raise BundleError(
            f"the model_max_length in {folder / 'tokenizer_config.json'} is missing or too large",
            expected=f"at most {length}, the text encoder's max_position_embeddings",
            fix=f"Set model_max_length to {length} there",
        )
