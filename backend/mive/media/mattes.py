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
from mive.media.matching import match
from mive.media.matte_tracks import CoverageTrack, IdTrack, MatteTrack
from mive.media.plausible import SeenCover, SeenIds, looked_at_closely
from mive.media.told import Warnings
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

    Attributes:
        seen: what was found when they were opened, by the path of each.
    """

    def __init__(
        self,
        ids: Sequence[int],
        layers: Sequence[Callable[[int], Coverage]],
        frames: FrameRange,
        files: Sequence[Path],
        seen: Sequence[tuple[Path, SeenIds | SeenCover]] = (),
    ) -> None:
        self.ids = tuple(ids)
        self.frames = frames
        self.files = tuple(files)
        self.seen = tuple(seen)
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
    warnings: Warnings | None = None,
) -> Mattes:
    """Open the mattes of an edit and check that they fit the clip.

    A matte has a frame for every frame of ``frames``, found as `mive.media.matching` tells, and the
    clip's display size. With ``fit="fit"`` it is resized (ID mattes to the nearest pixel, soft ones
    bilinearly), its last frame is held where it is shorter, and frames beyond the clip are dropped.

    Args:
        request_mattes: ID matte for all instances without a matte of their own.
        instances: in order; a later one lies on top of an earlier one.
        most_bytes: of memory that the mattes of a frame may take; 0 is no limit.
        warnings: where doubts go.

    Raises:
        MatteError: a matte is missing, does not fit, never shows its instance in ``frames``, or they are too large.
    """
    warnings = warnings or Warnings()
    pixels, memory = info.width * info.height, _Memory(most_bytes)
    memory.take(_COVERAGE_BYTES * pixels * len(instances), f"the mattes of {len(instances)} instances", "instances")
    opened = partial(_check_reading, memory)
    shared: _Fitted | None = None
    layers: list[Callable[[int], Coverage]] = []
    files: list[Path] = []
    seen: list[tuple[Path, SeenIds | SeenCover]] = []
    if request_mattes is not None and any(instance.matte is None or instance.linked for instance in instances):
        id_track = IdTrack(Path(request_mattes), "mattes", opened, warnings)
        shared = _Fitted(id_track, info, frames, fit, smooth=False)
        files += shared.track.files
        wanted = [identity for instance in instances for identity in _ids_of(instance)]
        ids = _look_at_ids(shared, frames, wanted)
        _require_ids(shared, ids, wanted, frames)
        seen.append((Path(request_mattes), ids))
    for place, instance in enumerate(instances):
        field = f"instances[{place}].matte"
        if instance.matte is not None:
            own_track = CoverageTrack(Path(instance.matte), field, opened, warnings)
            memory.take(_KEPT_BYTES * pixels * (own_track.count == 1), "the mattes", field)
            own = _Fitted(own_track, info, frames, fit, smooth=True)
            seen.append((own_track.path, _look_at_cover(own, instance.id, frames)))
            files += own_track.files
            linked = _selector(shared, instance.linked) if shared is not None and instance.linked else None
            layers.append(own.read if linked is None else _either(own.read, linked))
        elif shared is not None:
            layers.append(_selector(shared, _ids_of(instance)))
        else:
            raise MatteError(
                f"Instance {instance.id} has no matte",
                expected="an ID matte for all instances, or a matte of its own",
                fix="Add --mattes PATH, or give the instance its own matte",
                field=field,
            )
    return Mattes([instance.id for instance in instances], layers, frames, files, seen)


def ids_in(path: str, info: ClipInfo, frames: FrameRange, fit: MatteFit = MATTE_FIT) -> list[int]:
    """The ids that ID mattes hold in ``frames``, ascending; see `open_mattes`.

    Raises:
        MatteError: the mattes cannot be read or do not fit, or hold nothing but background.
    """
    shared = _Fitted(IdTrack(Path(path), "mattes"), info, frames, fit, smooth=False)
    found = sorted(set(_look_at_ids(shared, frames, ()).pixels) - {0})
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
        self._clip = info
        self._size = (info.width, info.height)
        self._fit = fit
        self._shared = not smooth
        self._interpolation = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST_EXACT
        self._place = match(track.info, info, frames, fit, track.warnings, track.field)
        self._last: tuple[int, Pixels] | None = None

    def read(self, index: int) -> Pixels:
        number = self._place(index)
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        matte = self._resized(self.track.read(number))
        # One ID matte serves all its instances, and a still serves all frames; of the others each is read for itself.
        if self._shared or self.track.count == 1:
            self._last = number, matte
        return matte

    def number_of(self, index: int) -> int:
        """The number of a frame of the clip."""
        return self._clip.number_of(index)

    def _resized(self, matte: Pixels) -> Pixels:
        size = (matte.shape[1], matte.shape[0])
        if size == self._size:
            return matte
        if self._fit != "fit":
            raise MatteError(
                f"The matte {self.track.path} is {size[0]}x{size[1]} pixels, the clip {self._size[0]}x{self._size[1]}",
                expected="mattes of the clip's size",
                fix="Export the matte at the clip's size, or use --matte-fit fit to resize it",
                field=self.track.field,
            )
        return np.asarray(cv2.resize(matte, self._size, interpolation=self._interpolation))


def _check_reading(memory: _Memory, info: ClipInfo, field: str) -> None:
    memory.check(_READING_BYTES * info.width * info.height, f"the pixels of the matte {info.path}", field)


def _ids_of(instance: Instance) -> tuple[int, ...]:
    """The ids of ID mattes whose pixels are the instance's."""
    return (*(() if instance.matte is not None else (instance.id,)), *instance.linked)


def _selector(shared: _Fitted, ids: Sequence[int]) -> Callable[[int], Coverage]:
    if len(ids) == 1:
        return lambda index: (shared.read(index) == ids[0]).astype(np.float32)
    return lambda index: np.isin(shared.read(index), ids).astype(np.float32)


def _either(one: Callable[[int], Coverage], other: Callable[[int], Coverage]) -> Callable[[int], Coverage]:
    return lambda index: np.maximum(one(index), other(index))


def _look_at_ids(shared: _Fitted, frames: FrameRange, wanted: Sequence[int]) -> SeenIds:
    # All frames are read, not only up to the last id, so that a bad one shows before the edit.
    seen, closely = SeenIds(), looked_at_closely(frames.indices())
    for index in frames.indices():
        seen.see(shared.number_of(index), shared.read(index), closely=index in closely)
    for doubt in seen.doubts(wanted):
        shared.track.warnings.tell(f"The mattes {shared.track.path} {doubt}", error=MatteError)
    return seen


def _require_ids(shared: _Fitted, seen: SeenIds, wanted: Sequence[int], frames: FrameRange) -> None:
    missing = [identity for identity in wanted if identity not in seen.pixels]
    if not missing:
        return
    there = sorted(set(seen.pixels) - {0})
    factor = seen.stretched()
    stretched = bool(factor) and all(identity * factor in there for identity in missing)
    raise MatteError(
        f"Instance {', '.join(map(str, missing))} never occurs in {shared.track.path} "
        f"(frames {frames.first}-{frames.last})",
        expected=f"one of the ids that are there: {', '.join(map(str, there)) or 'none, it is all background'}",
        fix=f"Its ids are {factor} times those, so export it without stretching, or ask for {missing[0] * factor}"
        if stretched
        else "Change the instance's id, or export the matte with it",
        field="mattes",
    )


def _look_at_cover(own: _Fitted, identity: int, frames: FrameRange) -> SeenCover:
    seen = SeenCover()
    for index in frames.indices():
        seen.see(own.number_of(index), own.read(index))
    if seen.empty:
        raise MatteError(
            f"The matte {own.track.path} of instance {identity} is empty in all of frames {frames.first}-{frames.last}",
            expected="white (or alpha) where the instance is, in at least one frame",
            fix="Check that it is the right matte and the right frames",
            field=own.track.field,
        )
    for doubt in seen.doubts(lossy=own.track.lossy):
        own.track.warnings.tell(f"The matte {own.track.path} of instance {identity} {doubt}", error=MatteError)
    return seen
