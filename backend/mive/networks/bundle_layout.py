"""What the configurations of a bundle's networks say, and whether the networks fit together.

Checked before any weights are read. Defaults are those of diffusers and transformers, for
configurations that leave something out. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, Field

from mive.base.validation import Model, Number
from mive.errors import BundleError
from mive.networks.bundle_files import find_part, read_as, read_config
from mive.settings import Count

_SD_ONLY = "a U-Net of the Stable Diffusion 1.x or 2.x layout"


class _Config(Model):
    """Part of a network's config.json; what is not named here does not matter here."""

    model_config = ConfigDict(extra="ignore")


class UnetConfig(_Config):
    """``unet/config.json``."""

    in_channels: Count = Field(default=4, description="the channels of the latents")
    out_channels: Count = Field(default=4, description="the channels of the prediction")
    sample_size: Count | tuple[Count, Count] | None = Field(
        default=None, description="the size of the latents in training"
    )
    block_out_channels: tuple[Count, ...] = Field(
        default=(320, 640, 1280, 1280), description="the channels of the levels"
    )
    layers_per_block: Count | tuple[Count, ...] = Field(default=2, description="the layers of the levels")
    cross_attention_dim: Count | tuple[Count, ...] = Field(default=1280, description="the width of the text states")
    addition_embed_type: str | None = Field(default=None, description="the added conditions")
    encoder_hid_dim_type: str | None = Field(default=None, description="the kind of condition")
    class_embed_type: str | None = Field(default=None, description="the kind of class condition")
    num_class_embeds: int | None = Field(default=None, description="the number of classes")


class ControlNetConfig(_Config):
    """``controlnet/config.json``."""

    in_channels: Count = Field(default=4, description="the channels of the latents")
    conditioning_channels: Count = Field(default=3, description="the channels of the condition")
    block_out_channels: tuple[Count, ...] = Field(
        default=(320, 640, 1280, 1280), description="the channels of the levels"
    )
    layers_per_block: Count | tuple[Count, ...] = Field(default=2, description="the layers of the levels")
    cross_attention_dim: Count | tuple[Count, ...] = Field(default=1280, description="the width of the text states")
    conditioning_embedding_out_channels: tuple[Count, ...] = Field(
        default=(16, 32, 96, 256), description="the channels of the condition's levels"
    )


class VaeConfig(_Config):
    """``vae/config.json``."""

    latent_channels: Count = Field(default=4, description="the channels of the latents")
    block_out_channels: tuple[Count, ...] = Field(default=(64,), description="the channels of the levels")
    scaling_factor: Number = Field(default=0.18215, description="the scale of the latents")
    shift_factor: Number | None = Field(default=None, description="the shift of the latents")


class TextConfig(_Config):
    """``text_encoder/config.json``."""

    hidden_size: Count = Field(default=512, description="the width of the text states")
    vocab_size: Count = Field(default=49408, description="the number of tokens")
    max_position_embeddings: Count = Field(default=77, description="the longest caption in tokens")


@dataclass(frozen=True)
class Layout:
    """The sizes of a bundle's networks, which fit together."""

    unet: UnetConfig
    controlnet: ControlNetConfig
    vae: VaeConfig
    text: TextConfig

    @property
    def latent_channels(self) -> int:
        """C of the latents [N, C, h, w]."""
        return self.vae.latent_channels

    @property
    def latent_factor(self) -> int:
        """Pixels per latent, along each side."""
        return _latent_factor(self.vae)

    @property
    def latent_multiple(self) -> int:
        """Pixels that each side of a frame must be a multiple of, so that all levels divide."""
        return self.latent_factor * _shrink(self.unet.block_out_channels)


def read_layout(folders: Mapping[str, Path]) -> Layout:
    """Reads the configurations and checks that the networks fit.

    Args:
        folders: of the parts unet, controlnet, vae and text_encoder.

    Raises:
        BundleError: a configuration is missing or broken, a network is of a kind that MIVE does
            not run, or two do not fit; it names the file.
    """
    layout = Layout(
        read_as(UnetConfig, folders["unet"] / "config.json"),
        read_as(ControlNetConfig, folders["controlnet"] / "config.json"),
        read_as(VaeConfig, folders["vae"] / "config.json"),
        read_as(TextConfig, folders["text_encoder"] / "config.json"),
    )
    _check_unet(layout, folders["unet"] / "config.json")
    _check_controlnet(layout, folders["controlnet"] / "config.json")
    return layout


def find_layout(folder: Path) -> Layout:
    """The layout of the bundle in a folder; see `read_layout`."""
    return read_layout({part: find_part(folder, part) for part in ("unet", "controlnet", "vae", "text_encoder")})


def bundle_defaults(folder: Path) -> dict[str, object]:
    """A bundle's default settings for :meth:`mive.request.Settings.resolved`; loads no network.

    The model size is bundle.json's, else the one the U-Net was trained at.

    Raises:
        BundleError: a configuration is missing or broken.
    """
    config = read_config(folder)
    if config.model_size is not None:
        return {"model_size": config.model_size, **config.defaults}
    size = read_as(UnetConfig, find_part(folder, "unet") / "config.json").sample_size
    if size is None:
        return dict(config.defaults)
    factor = _latent_factor(read_as(VaeConfig, find_part(folder, "vae") / "config.json"))
    short = size if isinstance(size, int) else min(size)
    return {"model_size": short * factor, **config.defaults}


def _latent_factor(vae: VaeConfig) -> int:
    return _shrink(vae.block_out_channels)


def _shrink(levels: tuple[int, ...]) -> int:
    """How many times smaller the last level is: each but the last halves the sides."""
    return 1 << (len(levels) - 1)


def _check_unet(layout: Layout, path: Path) -> None:
    """A U-Net that takes latents, a timestep and captions, and nothing else."""
    unet, latents = layout.unet, layout.vae.latent_channels
    if unet.addition_embed_type is not None:
        _refuse(
            f"{path} is of the SDXL kind (addition_embed_type is {unet.addition_embed_type})",
            _SD_ONLY,
        )
    if unet.encoder_hid_dim_type or unet.class_embed_type or unet.num_class_embeds:
        _refuse(f"{path} is of a U-Net with other conditions than captions", _SD_ONLY)
    if unet.in_channels == 2 * latents + 1:
        _refuse(
            f"{path} is of an inpainting U-Net, with {unet.in_channels} in_channels",
            f"{latents}, the latents alone",
            "Use the model that it was made from",
        )
    if (unet.in_channels, unet.out_channels) != (latents, latents):
        _refuse(
            f"{path} has {unet.in_channels} in_channels and {unet.out_channels} out_channels",
            f"{latents}, the VAE's latent_channels",
        )
    if _widths(unet.cross_attention_dim) != {layout.text.hidden_size}:
        _refuse(
            f"{path} has a cross_attention_dim of {unet.cross_attention_dim}",
            f"{layout.text.hidden_size}, the text encoder's hidden_size",
        )


def _check_controlnet(layout: Layout, path: Path) -> None:
    """A ControlNet for this U-Net, whose condition is a depth map in the pixels' size."""
    unet, control = layout.unet, layout.controlnet
    same = ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim")
    for key in same:
        if getattr(control, key) != getattr(unet, key):
            _refuse(
                f"{path} has a {key} of {getattr(control, key)}",
                f"{getattr(unet, key)}, as the U-Net has",
                'Name a depth ControlNet for this U-Net under "parts" in bundle.json',
            )
    if control.conditioning_channels != 3:
        _refuse(f"{path} has {control.conditioning_channels} conditioning_channels", "3")
    factor = _shrink(control.conditioning_embedding_out_channels)
    if factor != layout.latent_factor:
        _refuse(
            f"{path} makes its condition {factor} times smaller",
            f"{layout.latent_factor} times, as the VAE does",
        )


def _widths(value: int | tuple[int, ...]) -> set[int]:
    return {value} if isinstance(value, int) else set(value)


def _refuse(what: str, expected: str, fix: str = "Use another model, or its matching part") -> None:
    raise BundleError(what, expected=expected, fix=fix)
