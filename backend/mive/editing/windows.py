"""Long clips as overlapping windows of frames, so that memory does not grow with length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Window:
    """A run of frames that is edited together.

    Attributes:
        first: its first frame, counted from the start of the range.
        length: its frames.
        shared: how many of its first frames the previous window edited too.
        final: how many of its frames are finished once it is blended; the rest goes into the next window.
    """

    first: int
    length: int
    shared: int
    final: int

    def blend(self, before: Tensor | None, now: Tensor) -> Tensor:
        """Cross-fade the shared frames from the previous window's latents to this one's.

        Args:
            before: [shared, C, h, w] of the previous window, None for the first.
            now: [length, C, h, w] of this window.

        Returns:
            [length, C, h, w]; frames that are not shared are ``now``'s, untouched.
        """
        if before is None or self.shared == 0:
            return now
        # Tensors do it themselves, so that windows can be planned where torch is not installed.
        weight = now.new_tensor(range(1, self.shared + 1)).view(-1, 1, 1, 1) / (self.shared + 1)
        mixed = now.clone()
        mixed[: self.shared] = before * (1 - weight) + now[: self.shared] * weight
        return mixed


def make_windows(frames: int, window: int, overlap: int) -> list[Window]:
    """Cover ``frames`` with windows of ``window`` frames that share ``overlap`` frames with their neighbours.

    The last window reaches back rather than being shorter, so that every edit sees as many frames as it may.
    """
    if frames <= window:
        return [Window(0, frames, 0, frames)]
    starts = list(range(0, frames - window, window - overlap))
    starts.append(frames - window)
    windows = []
    for index, start in enumerate(starts):
        end_before = starts[index - 1] + window if index else start
        following = starts[index + 1] if index + 1 < len(starts) else frames
        windows.append(Window(start, window, end_before - start, following - start))
    return windows
