"""Whether latents are finite: asked on their device at once, read later, so that nobody waits for the device."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mive.errors import EngineError


@dataclass(frozen=True)
class _Question:
    where: str
    finite: Tensor
    arrived: torch.cuda.Event | None

    def settle(self) -> None:
        if self.arrived is not None:
            self.arrived.synchronize()
        if not bool(self.finite):
            raise EngineError(
                f"the latents are no longer finite after {self.where}",
                expected="finite numbers",
                fix="Use precision fp32, or a lower guidance",
            )


@dataclass
class Finiteness:
    """The questions that have not been answered yet, oldest first."""

    _open: deque[_Question] = field(default_factory=deque)

    def ask(self, z: Tensor, where: str) -> None:
        """Begin to find out whether ``z`` is finite; ``where`` is what it comes from, for the error."""
        finite, arrived = torch.isfinite(z).all(), None
        if z.is_cuda:
            here = torch.empty((), dtype=torch.bool, pin_memory=True)
            here.copy_(finite, non_blocking=True)
            finite, arrived = here, torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record(torch.cuda.current_stream(z.device))
        self._open.append(_Question(where, finite, arrived))

    def settle(self, later: int = 0) -> None:
        """Read all answers but the last ``later`` ones.

        Raises:
            EngineError: some latents were not finite.
        """
        while len(self._open) > later:
            self._open.popleft().settle()
