"""Which engine runs an edit: torch, or programs that TensorRT built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from mive.engines.devices import choose_dtype
from mive.engines.engine import Engine
from mive.engines.torch_engine import TorchEngine
from mive.errors import EngineError, RequestError
from mive.networks.bundle import Bundle
from mive.request import ResolvedSettings
from mive.settings import ChosenEngine, EngineName


@dataclass(frozen=True)
class Choice:
    """An engine, and a sentence that says why where MIVE chose it; "" where the user did."""

    name: ChosenEngine
    why: str = ""


def choose_engine(wanted: EngineName, settings: ResolvedSettings, device: torch.device) -> Choice:
    """The engine that "auto" stands for, or the one asked for.

    Raises:
        EngineError: "trt" was asked for and cannot run here, or not with these settings.
        RequestError: the settings ask for 8 bits, which the torch engine does not compute in.
    """
    if wanted == "torch":
        _refuse_quantized(settings, "this edit is to run with the torch engine")
        return Choice("torch")
    obstacle = _obstacle(settings, device)
    if wanted == "trt":
        if obstacle is not None:
            raise obstacle
        return Choice("trt")
    if obstacle is not None:
        _refuse_quantized(settings, f"TensorRT cannot run this edit: {obstacle.what}")
        return Choice("torch", f"auto chose the torch engine: {obstacle.what}")
    return Choice("trt", f"auto chose TensorRT, which runs on {device}; programs are built when first needed")


def engine_dtype(choice: Choice, settings: ResolvedSettings, device: torch.device) -> torch.dtype:
    """What the networks compute in; TensorRT's programs have no bfloat16, so "auto" is never that there."""
    if choice.name == "trt" and settings.precision == "auto" and device.type == "cpu":
        return torch.float32
    return choose_dtype(settings.precision, device)


def make_engine(choice: Choice, bundle: Bundle, hashes: Mapping[str, str], settings: ResolvedSettings) -> Engine:
    """The chosen engine on a loaded bundle.

    Args:
        hashes: of the bundle's files, as `mive.networks.bundle_files.hash_bundle` gives them.
    """
    if choice.name == "torch":
        return TorchEngine(bundle, settings.control_scale, settings.control_caption)
    from mive_trt.runtime import TrtEngine

    return TrtEngine.of(bundle, hashes, settings)


def _refuse_quantized(settings: ResolvedSettings, why: str) -> None:
    if settings.quantize != "none":
        raise RequestError(
            f"only TensorRT programs compute in {settings.quantize}, and {why}",
            expected='quantize "none", or the TensorRT engine',
            fix="Leave quantize out, or use --engine trt on a machine that can run it",
            field="settings.quantize",
        )


def _obstacle(settings: ResolvedSettings, device: torch.device) -> EngineError | None:
    """Why TensorRT's programs cannot run here with these settings, or None."""
    from mive_trt.runtime import check

    try:
        check(settings, device)
    except EngineError as error:
        return error
    return None
