"""Devices that torch runs on: which one, in what precision, and what to say when its memory is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mive.engines.processor import cpu_bf16
from mive.errors import EngineError, OutOfMemory
from mive.settings import Precision


def choose_device(wanted: str) -> torch.device:
    """The device that "auto" stands for, or the one asked for.

    Raises:
        EngineError: it is not there.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(wanted)
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}.get(device.type, True)
    if device.type == "cuda" and there:
        there = (device.index or 0) < torch.cuda.device_count()
    if not there:
        raise EngineError(
            f'this machine has no device "{wanted}"',
            expected="a device that torch can use",
            fix='Use "auto" or "cpu"; "mive doctor" lists the devices',
            field="settings.device",
        )
    return device


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of a precision; "auto" is fp16 on GPUs, bf16 on CPUs that compute in it, else fp32."""
    if precision == "auto":
        if device.type != "cpu":
            return torch.float16
        return torch.bfloat16 if cpu_bf16() else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


@contextmanager
def memory_of(device: torch.device) -> Iterator[None]:
    """Every way of running out of a device's memory as the one typed error, which says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch tells of a full main memory with a plain RuntimeError.
        known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if not known and "DefaultCPUAllocator" not in str(error):
            raise
        raise OutOfMemory(
            f"the model did not fit in the memory of {device}",
            expected="room for one window of frames",
            fix="Use a smaller window, a smaller model_size or instances_per_forward 1",
        ) from error
