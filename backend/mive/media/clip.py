"""A clip: frames that can be read in any range, again and again, never all at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mive.errors import MediaError
from mive.media.asked import Reading
from mive.media.info import ClipInfo, Pixels
from mive.media.reading import each_read
from mive.media.runs import shown_numbers

if TYPE_CHECKING:
    from mive.request import FrameRange


class Clip(ABC):
    """Frames on disk. Reading keeps one frame in memory and no file open in between."""

    info: ClipInfo
    reading: Reading
    _odd: set[int]

    def __init__(self) -> None:
        self._odd = set()

    def read(self, frames: FrameRange | None = None) -> Iterator[Pixels]:
        """Frames ``[H, W, 3]`` RGB in the source's depth; a range yields the pixels of the whole.

        Raises:
            MediaError: the range leaves the clip (at once), or a frame cannot be decoded, has
                another size than the first (when it is reached).
        """
        if frames is None:
            return self._checked(0, self.info.frames - 1)
        if frames.first < 0 or frames.last >= self.info.frames:
            raise MediaError(
                f"Frames {frames.first}-{frames.last} are not all in {self.info.path}, "
                f"which has {self.info.frames} frames",
                expected=f"a range within 0-{self.info.frames - 1}",
                fix="Frames count from 0; change --frames",
                field="frames",
            )
        return self._checked(frames.first, frames.last)

    def alpha(self, frames: FrameRange) -> Iterator[Pixels]:
        """The alpha ``[H, W]`` of frames, not multiplied into their colours; none where the clip has none."""
        return iter(())

    @abstractmethod
    def _decode(self, first: int, last: int) -> Iterator[Pixels]:
        """Frames ``first..last`` of the clip, both included."""

    def _checked(self, first: int, last: int) -> Iterator[Pixels]:
        shape = (self.info.height, self.info.width, 3)
        for index, frame in enumerate(each_read(self.info.path, self._decode(first, last)), first):
            if frame.shape != shape:
                raise MediaError(
                    f"Frame {index} of {self.info.path} is {frame.shape[1]}x{frame.shape[0]}",
                    expected=f"{shape[1]}x{shape[0]}, as the first frame",
                    fix="Render all frames of the clip at one size",
                )
            if frame.dtype == np.float32 and not np.isfinite(frame).all():
                self._odd.add(self.info.number_of(index))
                self.reading.warnings.tell(
                    f"{self.info.path} holds NaN or infinite pixels in frames {shown_numbers(sorted(self._odd))}; they "
                    "stay as they are outside the mattes, and count as black or white to the model",
                    about=f"{self.info.path} is not finite",
                )
            yield frame
