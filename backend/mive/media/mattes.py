"""The mattes of all instances of an edit, frame by frame, fitted to their clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from mive.errors import MatteError
from mive.media.info import ClipInfo, Coverage, Pixels
from mive.media.matte_tracks import CoverageTrack, IdTrack, MatteTrack
from mive.settings import MATTE_FIT, MatteFit

if TYPE_CHECKING:
    from mive.request import FrameRange, Instance


_COVERAGE_BYTES: Final = 8
"""Of a pixel of the clip and an instance, while one frame is looked at."""

_KEPT_BYTES: Final = 4
"""Of a pixel of the clip, for a still that serves all frames."""

_READING_BYTES: Final = 24
"""Of a pixel of a matte's file, while it becomes coverage or ids."""


class Mattes:
    """Coverage of every instance, ``[M, H, W]`` a frame, in the order of ``ids``.

    Where mattes overlap, the later instance lies on top and takes its share from those below,
    so that a pixel's coverage never adds up to more than 1. Nothing is kept but the last frame.
    """

    def __init__(
        self,
        ids: Sequence[int],
        layers: Sequence[Callable[[int], Coverage]],
        frames: FrameRange,
        files: Sequence[Path],
    ) -> None:
        self.ids = tuple(ids)
        self.frames = frames
        self.files = tuple(files)
        self._layers = tuple(layers)

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Coverage]:
        for index in range(self.frames.first, self.frames.last + 1):
            yield self.read(index)

    def read(self, index: int) -> Coverage:
        """Coverage ``[M, H, W]`` float32, 0..1, at frame ``index`` of the clip (from 0).

        Raises:
            IndexError: the frame is outside the range the mattes were opened for.
            MatteError: the frame cannot be decoded, or has another size than the clip.
        """
        if not self.frames.first <= index <= self.frames.last:
            raise IndexError(f"frame {index} is outside {self.frames.first}-{self.frames.last}")
        coverage = self._stacked(index)
        free = np.ones(coverage.shape[1:], dtype=np.float32)
        for layer in coverage[::-1]:
            left = free * (1 - layer)
            layer *= free
            free = left
        return coverage

    def _stacked(self, index: int) -> Coverage:
        """One layer after the other, so that they are not all there twice."""
        first = self._layers[0](index)
        coverage = np.empty((len(self._layers), *first.shape), np.float32)
        coverage[0] = first
        for place, layer in enumerate(self._layers[1:], 1):
            coverage[place] = layer(index)
        return coverage


class _Memory:
    """What the mattes of one frame take, known before they are read.

    Args:
        most: bytes; 0 is no limit.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken = 0

    def take(self, size: int, what: str, field: str) -> None:
        """Count bytes that are held while the edit runs.

        Raises:
            MatteError: they are too many.
        """
        self._taken += size
        self.check(self._taken, what, field)

    def check(self, size: int, what: str, field: str) -> None:
        """Look whether so many bytes may be held for a moment.

        Raises:
            MatteError: they may not.
        """
        if self.most and size > self.most:
            raise MatteError(
                f"{what} take {size / 1e9:.1f} GB of memory",
                expected=f"at most {self.most / 1e9:.1f} GB",
                fix="Edit fewer instances at once, or smaller frames, or ask who runs the server for more",
                field=field,
            )


def open_mattes(
    request_mattes: str | None,
    instances: Sequence[Instance],
    info: ClipInfo,
    frames: FrameRange,
    fit: MatteFit = MATTE_FIT,
    most_bytes: int = 0,
) -> Mattes:
    """Open the mattes of an edit and check that they fit the clip.

    A matte has one frame for every frame of the clip, or for every frame of ``frames``, and the
    clip's display size. With ``fit="fit"`` it is resized (ID mattes to the nearest pixel, soft ones
    bilinearly), its last frame is held where it is shorter, and frames beyond the clip are dropped.

    Args:
        request_mattes: ID matte for all instances without a matte of their own.
        instances: in order; a later one lies on top of an earlier one.
        most_bytes: of memory that the mattes of a frame may take; 0 is no limit.

    Raises:
        MatteError: a matte is missing, does not fit, never shows its instance in ``frames``, or they are too large.
    """
    pixels, memory = info.width * info.height, _Memory(most_bytes)
    memory.take(_COVERAGE_BYTES * pixels * len(instances), f"the mattes of {len(instances)} instances", "instances")
    opened = partial(_check_reading, memory)
    shared: _Fitted | None = None
    layers: list[Callable[[int], Coverage]] = []
    files: list[Path] = []
    if request_mattes is not None and any(instance.matte is None for instance in instances):
        shared = _Fitted(IdTrack(Path(request_mattes), "mattes", opened), info, frames, fit, smooth=False)
        files += shared.track.files
        wanted = [instance.id for instance in instances if instance.matte is None]
        _require_ids(shared, wanted, frames)
    for place, instance in enumerate(instances):
        field = f"instances[{place}].matte"
        if instance.matte is not None:
            track = CoverageTrack(Path(instance.matte), field, opened)
            memory.take(_KEPT_BYTES * pixels * (track.count == 1), "the mattes", field)
            own = _Fitted(track, info, frames, fit, smooth=True)
            _require_cover(own, instance.id, frames)
            files += track.files
            layers.append(own.read)
        elif shared is not None:
            layers.append(_selector(shared, instance.id))
        else:
            raise MatteError(
                f"Instance {instance.id} has no matte",
                expected="an ID matte for all instances, or a matte of its own",
                fix="Add --mattes PATH, or give the instance its own matte",
                field=field,
            )
    return Mattes([instance.id for instance in instances], layers, frames, files)


def ids_in(path: str, info: ClipInfo, frames: FrameRange, fit: MatteFit = MATTE_FIT) -> list[int]:
    """The ids that ID mattes hold in ``frames``, ascending; see `open_mattes`.

    Raises:
        MatteError: the mattes cannot be read or do not fit, or hold nothing but background.
    """
    shared = _Fitted(IdTrack(Path(path), "mattes"), info, frames, fit, smooth=False)
    found = sorted(_ids_in(shared, frames))
    if not found:
        raise MatteError(
            f"{path} is all background (frames {frames.first}-{frames.last})",
            expected="ID mattes: a pixel's value is its instance's id",
            fix="Check that they are the right mattes and the right frames",
            field="mattes",
        )
    return found


class _Fitted:
    """A track addressed by the clip's frame numbers and brought to the clip's size."""

    def __init__(self, track: MatteTrack, info: ClipInfo, frames: FrameRange, fit: MatteFit, *, smooth: bool) -> None:
        self.track = track
        self._size = (info.width, info.height)
        self._fit = fit
        self._shared = not smooth
        self._interpolation = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST_EXACT
        self._number = _alignment(track, info, frames, fit)
        self._last: tuple[int, Pixels] | None = None

    def read(self, index: int) -> Pixels:
        number = self._number(index)
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        matte = self._resized(self.track.read(number))
        # One ID matte serves all its instances, and a still serves all frames; of the others each is read for itself.
        if self._shared or self.track.count == 1:
            self._last = number, matte
        return matte

    def _resized(self, matte: Pixels) -> Pixels:
        size = (matte.shape[1], matte.shape[0])
        if size == self._size:
            return matte
        if self._fit == "exact":
            raise MatteError(
                f"The matte {self.track.path} is {size[0]}x{size[1]} pixels, the clip {self._size[0]}x{self._size[1]}",
                expected="mattes of the clip's size",
                fix="Export the matte at the clip's size, or use --matte-fit fit to resize it",
                field=self.track.field,
            )
        return np.asarray(cv2.resize(matte, self._size, interpolation=self._interpolation))


def _check_reading(memory: _Memory, info: ClipInfo, field: str) -> None:
    memory.check(_READING_BYTES * info.width * info.height, f"the pixels of the matte {info.path}", field)


def _alignment(track: MatteTrack, info: ClipInfo, frames: FrameRange, fit: MatteFit) -> Callable[[int], int]:
    length = frames.last - frames.first + 1
    if track.count == info.frames:
        return lambda index: index
    if track.count == length:
        return lambda index: index - frames.first
    if fit == "fit":
        return lambda index: min(index, track.count - 1)
    asked = f" (frames {frames.first}-{frames.last}: {length})" if length != info.frames else ""
    raise MatteError(
        f"The matte {track.path} has {track.count} frames, the clip {info.frames}{asked}",
        expected="one matte frame for every frame of the clip, or of the range that is edited",
        fix="Export the matte over the same frames, or use --matte-fit fit to hold its last "
        "frame and drop frames beyond the clip",
        field=track.field,
    )


def _selector(shared: _Fitted, identity: int) -> Callable[[int], Coverage]:
    return lambda index: (shared.read(index) == identity).astype(np.float32)


def _ids_in(shared: _Fitted, frames: FrameRange) -> set[int]:
    # All frames are read, not only up to the last id, so that a bad one shows before the edit.
    found: set[int] = set()
    for index in range(frames.first, frames.last + 1):
        found.update(np.flatnonzero(np.bincount(shared.read(index).ravel())).tolist())
    return found - {0}


def _require_ids(shared: _Fitted, wanted: Sequence[int], frames: FrameRange) -> None:
    found = _ids_in(shared, frames)
    missing = [identity for identity in wanted if identity not in found]
    if not missing:
        return
    there = ", ".join(map(str, sorted(found))) or "none, it is all background"
    raise MatteError(
        f"Instance {', '.join(map(str, missing))} never occurs in {shared.track.path} "
        f"(frames {frames.first}-{frames.last})",
        expected=f"one of the ids that are there: {there}",
        fix="Change the instance's id, or export the matte with it",
        field="mattes",
    )


def _require_cover(own: _Fitted, identity: int, frames: FrameRange) -> None:
    if any([own.read(index).any() for index in range(frames.first, frames.last + 1)]):
        return
    raise MatteError(
        f"The matte {own.track.path} of instance {identity} is empty in all of frames {frames.first}-{frames.last}",
        expected="white (or alpha) where the instance is, in at least one frame",
        fix="Check that it is the right matte and the right frames",
        field=own.track.field,
    )
