"""What an edit needs of an engine besides ε, whichever runs the networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mive.method.denoiser import Conditions, Denoiser
from mive.networks.bundle import Bundle
from mive.settings import ChosenEngine, Flow, FlowAttention, MaskCells

Pixels = NDArray[np.float32]


class Engine(Denoiser, Protocol):
    """A bundle's networks, ready to run on one device."""

    @property
    def name(self) -> ChosenEngine:
        """For the manifest."""

    @property
    def scales(self) -> str:
        """Hash of the scales of its quantised programs; "" where nothing is quantised."""

    @property
    def bundle(self) -> Bundle:
        """The networks."""

    @property
    def device(self) -> torch.device:
        """Where latents and conditions lie."""

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""

    def encode(self, frames: Pixels, batch: int = 4) -> Tensor:
        """Frames [N, H, W, 3] in 0..1 to latents float32 [N, C, h, w], the mean of the VAE's posterior."""

    def decode(self, z: Tensor, batch: int = 4) -> Pixels:
        """Latents [N, C, h, w] to frames float32 [N, H, W, 3] in 0..1."""

    def too_long(self, captions: Sequence[str]) -> list[str]:
        """Those captions that have more tokens than the model takes, and so lose their ends."""

    def conditions(
        self,
        frames: Pixels,
        mattes: Iterable[Pixels],
        flow: Flow,
        flow_attention: FlowAttention | None,
        cells: MaskCells,
    ) -> Conditions:
        """Depth, masks and trajectories of a window; see `TorchEngine.conditions`."""
