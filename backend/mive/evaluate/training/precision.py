"""What a device trains in: bfloat16 where its arithmetic units have it, else float32."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from mive.engines.devices import choose_device
from mive.engines.processor import cpu_bf16


def training_device() -> torch.device:
    """The GPU if there is one, with its fast paths for float32 switched on, else the CPU."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    return choose_device("auto")


def training_dtype(device: torch.device) -> torch.dtype:
    """bfloat16, but float32 on a CPU that would have to emulate it, five to ten times slower."""
    return torch.bfloat16 if device.type != "cpu" or cpu_bf16() else torch.float32


def mixed(device: torch.device) -> AbstractContextManager[object]:
    """Autocast of float32 networks to `training_dtype`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=training_dtype(device) == torch.bfloat16)
