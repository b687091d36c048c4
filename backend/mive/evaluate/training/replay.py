"""A training step recorded as a CUDA graph and replayed, one recording for each shape of batch."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[..., dict[str, Tensor]]
"""The tensors of a batch → figures; changes weights in place, never waits for the device, draws nothing at random."""

WARM_UP = 3
"""Plain steps before a recording: libraries choose their kernels, the optimiser makes its state."""


def replayed(step: Step, device: torch.device) -> Step:
    """The same step, recorded where there is a GPU; elsewhere the step itself."""
    if device.type != "cuda":
        return step
    recordings: dict[tuple[torch.Size, ...], Step] = {}

    def run(*batch: Tensor) -> dict[str, Tensor]:
        shapes = tuple(tensor.shape for tensor in batch)
        if shapes not in recordings:
            recordings.clear()
            torch.cuda.empty_cache()
            recordings[shapes] = _recorded(step, batch)
        return recordings[shapes](*batch)

    return run


def _recorded(step: Step, batch: tuple[Tensor, ...]) -> Step:
    try:
        return _Recording(step, batch)
    except RuntimeError as error:
        print(f"This step cannot be recorded and runs kernel by kernel, slower: {error}", file=sys.stderr, flush=True)
        torch.cuda.synchronize()
        return step


class _Recording:
    def __init__(self, step: Step, batch: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(tensor.clone() for tensor in batch)
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                step(*self._inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._figures = step(*self._inputs)

    def __call__(self, *batch: Tensor) -> dict[str, Tensor]:
        torch._foreach_copy_(list(self._inputs), list(batch))
        self._graph.replay()
        return self._figures
