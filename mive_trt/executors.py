"""Which executor runs programs here, and whether it can."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Final, Literal, cast, get_args

import torch

from mive.base.places import default_cache
from mive.errors import EngineError, RequestError
from mive.settings import Quantize
from mive_trt.executor import Executor, Store
from mive_trt.flavour import capability_names, installed
from mive_trt.scales import check_quantize

ExecutorName = Literal["tensorrt", "onnxruntime"]

VARIABLE: Final = "MIVE_TRT_EXECUTOR"
"""The environment variable that puts onnxruntime in TensorRT's place, to check programs without a GPU."""


def executor_name() -> ExecutorName:
    """The executor of this process: TensorRT, unless the environment says otherwise.

    Raises:
        RequestError: it names one that does not exist.
    """
    name = os.environ.get(VARIABLE) or "tensorrt"
    if name not in get_args(ExecutorName):
        raise RequestError(
            f'{VARIABLE} is "{name}"', expected="tensorrt or onnxruntime", fix="Correct it, or leave it unset"
        )
    return cast("ExecutorName", name)


def check_device(device: torch.device, quantize: Quantize = "none") -> None:
    """See whether programs can run on a device.

    Raises:
        EngineError: they cannot; it says what is missing.
    """
    onnxruntime = executor_name() == "onnxruntime"
    if onnxruntime and device.type != "cpu":
        raise EngineError(
            f"onnxruntime stands in for TensorRT on CPUs only, and this edit is to run on {device}",
            expected='the device "cpu"',
            fix=f"Unset {VARIABLE}, or add --set device=cpu",
        )
    if not onnxruntime and device.type != "cuda":
        raise EngineError(
            f"TensorRT needs an NVIDIA GPU with a driver that works, and this edit is to run on {device}",
            expected="a GPU that torch can use",
            fix='Install the NVIDIA driver and torch for CUDA, or use --engine torch; "mive doctor" lists the devices',
        )
    needed = ("onnx", "onnxscript", *["onnxruntime"] * onnxruntime)
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise EngineError(
            f"programs cannot be made without {' and '.join(missing)}, which is not installed",
            expected="an installation with TensorRT",
            fix='pip install "mive[server,trt]", or use --engine torch',
        )
    if not onnxruntime:
        _check_gpu(device)
        check_quantize(quantize, torch.cuda.get_device_capability(device))


def _check_gpu(device: torch.device) -> None:
    flavour = installed()
    known, capability = capability_names(flavour), torch.cuda.get_device_capability(device)
    if known and capability not in known:
        others = ", ".join(f"{major}.{minor}" for major, minor in sorted(known))
        raise EngineError(
            f"{flavour} has no programs for GPUs of compute capability {capability[0]}.{capability[1]}",
            expected=f"one of {others}",
            fix="Use --engine torch, or install full TensorRT",
        )


def make_executor(device: torch.device) -> Executor:
    """The executor of this process, on a device that `check_device` approved."""
    if executor_name() == "onnxruntime":
        from mive_trt.ort import OnnxExecutor

        return OnnxExecutor()
    from mive_trt import tensorrt

    return tensorrt.make_executor(device)


def make_store(device: torch.device) -> Store:
    """Where that executor's files are kept."""
    if executor_name() == "onnxruntime":
        from mive_trt.ort import OnnxStore

        return OnnxStore(default_cache() / "onnx")
    from mive_trt import tensorrt

    return tensorrt.make_store(device)
