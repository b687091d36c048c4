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


def mixed(device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bfloat16; does nothing on a CPU that would have to emulate it, five to ten times slower."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu" or bool(cpu_bf16()))
