"""Writing the frames of an edit, as a video file or as images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mive.base.samples import IN_MEMORY, Depth
from mive.errors import OutputError
from mive.media import timecode
from mive.media.holding import Holding
from mive.media.image import probe_image
from mive.media.info import ClipInfo, Pixels
from mive.media.origin import Origin
from mive.media.paste import to_depth

if TYPE_CHECKING:
    from mive.request import FrameRange

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")
IMAGE_OUT_SUFFIXES = (".png", ".exr")


class FrameWriter(ABC):
    """Takes the frames of a range in order; the result appears whole when the block ends well.

    After an error, Ctrl-C or too few frames, nothing is left on disk.

    Attributes:
        out: the file, folder or pattern that is written.
        warnings: what the output could not carry over, for the user to read.
    """

    def __init__(
        self, out: Path, info: ClipInfo, frames: FrameRange, depth: Depth, holding: Holding, origin: Origin
    ) -> None:
        self.out = out
        self.origin = origin
        self.warnings = origin.warnings
        self.holding = holding
        self._info = info
        self._frames = frames
        self._depth: Depth = depth
        self._written = 0
        self._clipped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        done = False
        try:
            if kind is None:
                self._require_all()
                self._commit()
                done = True
        finally:
            if not done:
                self._discard()

    def write(self, frame: Pixels) -> None:
        """Write the next frame.

        Args:
            frame: ``[H, W, 3]`` RGB, uint8, uint16 or float32 (0..1 spans the code values); what
                the output cannot hold is rounded, and float clipped with a warning.

        Raises:
            OutputError: the disk is full or the encoder failed.
            ValueError: the frame has another size than the clip, or the range is full already.
        """
        shape = (self._info.height, self._info.width, 3)
        if frame.shape != shape:
            raise ValueError(f"a frame of shape {frame.shape} for an output of {shape}")
        if self._written == len(self._frames):
            raise ValueError(f"more than the {len(self._frames)} frames of the range")
        if not IN_MEMORY[self._depth].is_float and frame.dtype.kind == "f" and not self._clipped:
            self._warn_of_clipping(frame)
        self._write(to_depth(frame, self._depth), self._written)
        self._written += 1

    @abstractmethod
    def _write(self, frame: Pixels, number: int) -> None:
        """Write frame ``number`` of the range, already in the output's depth."""

    @abstractmethod
    def _commit(self) -> None:
        """Finish the files and put them in their place."""

    @abstractmethod
    def _discard(self) -> None:
        """Remove everything unfinished."""

    def _warn_of_clipping(self, frame: Pixels) -> None:
        low, high = float(frame.min()), float(frame.max())
        self._clipped = low < 0 or high > 1
        if self._clipped:
            self.warnings.tell(
                f"Values from {low:.3g} to {high:.3g} were clipped to 0..1 in {self.out}",
                error=OutputError,
                fix="Write an EXR sequence (FOLDER/name.####.exr) to keep them",
            )

    def _tell_losses(self, *, alike: bool = False) -> None:
        """Tell what of the source the output leaves out, in one sentence."""
        if self.origin.clip is None:
            return
        info = self._info
        if lost := self.holding.lost(info, alike=alike):
            self.warnings.tell(f"{self.out} does not carry over of {info.path}: {', '.join(lost)}", error=OutputError)

    def timecode_at(self, index: int) -> str | None:
        """The timecode of a frame of the clip: its file's own, or counted on from the first by a rate that is known."""
        info = self._info
        if info.is_sequence and self.origin.clip is not None:
            own = probe_image(info.files[index], self.origin.clip.reading.layer).timecode
            if own is not None or info.rate_guessed:
                return own
        return None if info.timecode is None else timecode.advance(info.timecode, index, info.rate)

    def _require_all(self) -> None:
        if self._written != len(self._frames):
            raise OutputError(
                f"Only {self._written} of {len(self._frames)} frames came for {self.out}",
                expected="every frame of the range",
                fix="Run the edit again; nothing partial was left behind",
            )
