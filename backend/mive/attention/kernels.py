"""Which attention ops run as Triton kernels on a device, and why not where they do not."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch

from mive.attention.modulation import Kernels

_FIRST_CAPABILITY = (8, 0)

_instead: ContextVar[Kernels | None] = ContextVar("kernels", default=None)


@contextmanager
def kernels_are(kernels: Kernels) -> Iterator[None]:
    """Have ``kernels`` do the work inside the block, on every device."""
    before = _instead.set(kernels)
    try:
        yield
    finally:
        _instead.reset(before)


def kernels_for(device: torch.device) -> Kernels | None:
    """The kernels for tensors on ``device``; None where the references do the work."""
    return _instead.get() or _compiled(device)


@cache
def _compiled(device: torch.device) -> Kernels | None:
    if obstacle(device):
        return None
    from mive.attention.flow.triton import flow_attention
    from mive.attention.ipr.triton import ipr_attention

    return Kernels(ipr_attention, flow_attention)


def obstacle(device: torch.device) -> str:
    """What keeps the kernels from running on ``device``, in words for the user; empty if nothing does."""
    if device.type != "cuda" or torch.version.cuda is None:
        return "the kernels run on NVIDIA GPUs only"
    if torch.cuda.get_device_capability(device) < _FIRST_CAPABILITY:
        return "the kernels need a GPU of compute capability 8.0 (Ampere) or newer"
    if find_spec("triton") is None:
        return "Triton is not installed: pip install triton (on Windows triton-windows)"
    # Triton builds its launcher with it, once.
    if not ("CC" in os.environ or shutil.which("gcc") or shutil.which("clang")):
        return "Triton finds no C compiler: install gcc, or set CC"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "Triton finds no Python.h for its launcher: install python3-dev (python3-devel on Fedora)"
    return ""
