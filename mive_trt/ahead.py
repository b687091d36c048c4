"""Builds the engines of edits that are still to come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from mive.errors import EngineError
from mive.media.sizes import model_size
from mive.networks.bundle import load_bundle
from mive.networks.bundle_files import find_bundle, hash_bundle
from mive.networks.bundle_layout import bundle_defaults
from mive.request import Settings
from mive.settings import Quantize
from mive_trt.buckets import edit_buckets
from mive_trt.build import Told, names_of
from mive_trt.flavour import Capability, Flavour, capability_names, installed
from mive_trt.library import Library
from mive_trt.plugin_library import find_plugins
from mive_trt.scales import check_quantize, find_scales
from mive_trt.tensorrt import EngineStore, engines_folder


class Wanted(NamedTuple):
    """The edits that engines are for.

    Attributes:
        bundle: as `mive.networks.bundle_files.find_bundle` takes it.
        clip: (width, height) of the clips, None means square ones.
        frames: of a window, None means the settings' own.
        together: instances in one forward, None means the settings' own.
        precision: "fp16" or "fp32".
        plugins: whether engines have MIVE's plugins, where they can.
        quantize: the setting that edits will have.
    """

    bundle: str
    clip: tuple[int, int] | None = None
    frames: int | None = None
    together: int | None = None
    precision: str = "fp16"
    plugins: bool = True
    quantize: Quantize = "none"


def build_ahead(
    wanted: Wanted, capabilities: Sequence[Capability], cache: Path | None, told: Told
) -> Iterator[tuple[str, Path]]:
    """Build what is not kept yet.

    Args:
        capabilities: the GPUs that engines are for; none means this machine's.
        cache: where they are kept; None is where edits look.
        told: how far the running build is.

    Yields:
        each engine's name and file, once it is there.

    Raises:
        MiveError: something is missing or cannot be built.
    """
    flavour = installed()
    # Found before what takes minutes.
    names_of(capabilities, flavour)
    gpus = capabilities or [_own(flavour)]
    for gpu in gpus:
        check_quantize(wanted.quantize, gpu)
    plugins, obstacle = find_plugins(flavour) if wanted.plugins else (None, "")
    store = EngineStore(cache or engines_folder(), gpus, flavour, told=told, plugins=plugins, obstacle=obstacle)
    folder = find_bundle(wanted.bundle)
    settings = Settings(window=wanted.frames, instances_per_forward=wanted.together).resolved(bundle_defaults(folder))
    dtype = {"fp16": torch.float16, "fp32": torch.float32}[wanted.precision]
    bundle = load_bundle(folder, dtype=dtype, control_attention=settings.control_attention)
    side = settings.model_size
    rows, columns = model_size(*(wanted.clip or (side, side)), side, bundle.latent_multiple)
    height, width = rows // bundle.latent_factor, columns // bundle.latent_factor
    hashes = hash_bundle(folder)
    scales = find_scales(bundle, hashes, wanted.quantize)
    library = Library(bundle, hashes, settings.lambda_s, settings.control_attention, None, store, scales)
    for kind, buckets in edit_buckets(settings.window, settings.instances_per_forward, height, width).items():
        for bucket in buckets:
            name = f"{kind} for {bucket.items} × {bucket.frames} frames"
            told(f"exporting {name}", 0, 1)
            yield name, library.file(kind, bucket)


def find_gpu(flavour: Flavour) -> tuple[str | None, str]:
    """This machine's GPU, and what keeps it from running engines, "" if nothing does."""
    if not torch.cuda.is_available():
        return None, "This machine cannot run them: torch finds no NVIDIA GPU with a driver that works."
    name, capability = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    known = capability_names(flavour)
    if known and capability not in known:
        told = f"{name} (compute capability {capability[0]}.{capability[1]})"
        return name, f"{told} cannot run engines of {flavour}: install full TensorRT, or use --engine torch."
    return name, ""


def own_capability() -> tuple[Capability, ...]:
    """This machine's GPU's, where it has one that works."""
    return (torch.cuda.get_device_capability(),) if torch.cuda.is_available() else ()


def _own(flavour: Flavour) -> Capability:
    name, obstacle = find_gpu(flavour)
    if name is None:
        raise EngineError(
            "this machine has no GPU to build for",
            expected="the compute capability of the GPU that will run the engines",
            fix="Name it, for example --gpu 8.9",
        )
    if obstacle:
        raise EngineError(
            obstacle.rstrip("."), expected="a GPU that this TensorRT builds for", fix="Use --engine torch"
        )
    return torch.cuda.get_device_capability()
