"""One pass over source, edit and mattes that keeps embeddings and drops the pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mive.errors import MatteError, MediaError
from mive.evaluate.metrics.crops import area, square_crop
from mive.evaluate.metrics.scores import bp
from mive.evaluate.metrics.vectors import Embedder, Vectors, require_finite
from mive.media.info import Coverage, Pixels
from mive.media.paste import to_depth

TOGETHER = 32
"""Pictures that are cut before they are embedded, so that a GPU sees full batches and memory stays small."""

_Cuts = tuple[int, list[Pixels | None]]
"""A frame's number, the frame, and its instances; None where one is absent."""


class Pictures(NamedTuple):
    """What the scores need of N frames with M instances.

    Attributes:
        frames: ``[N, d]``, of the edited frames.
        crops: ``[N, M, d]``, of the instances in them; zero where one is absent.
        areas: ``[N, M]`` pixels; 0 where an instance is absent.
        bp: of each frame, None where there is no background.
    """

    frames: Vectors
    crops: Vectors
    areas: npt.NDArray[np.int64]
    bp: tuple[float | None, ...]


def gather(
    source_frames: Iterable[Pixels],
    edited_frames: Iterable[Pixels],
    mattes: Iterable[Coverage],
    count: int,
    embedder: Embedder,
) -> Pictures:
    """Read the three side by side, a few frames at a time. ``count`` is M, the number of captions.

    Raises:
        MediaError: source and edit differ in frames or size, there are none, or one is not finite.
        MatteError: the mattes differ from the clip in frames or size, or in number from ``count``.
        EngineError: an embedding is not finite.
    """
    vectors, areas, preserved = list[Vectors](), [], []
    waiting: list[_Cuts] = []
    for index, (source, edited, coverage) in _together(source_frames, edited_frames, mattes):
        _check_sizes(index, source, edited, coverage, count)
        preserved.append(_preserved(index, source, edited, coverage))
        areas.append([area(layer) for layer in coverage])
        frame = to_depth(edited, "u8")
        waiting.append((index, [frame, *(square_crop(frame, layer) for layer in coverage)]))
        if len(waiting) * (1 + count) >= TOGETHER:
            vectors += _embedded(waiting, embedder)
            waiting = []
    vectors += _embedded(waiting, embedder)
    every = np.stack(vectors)
    return Pictures(every[:, 0], every[:, 1:], np.array(areas), tuple(preserved))


def _embedded(waiting: Sequence[_Cuts], embedder: Embedder) -> Iterator[Vectors]:
    """For each frame ``[1 + M, d]``: its own vector and those of its instances, zero where one is absent."""
    if not waiting:
        return
    vectors = embedder.images([cut for _, cuts in waiting for cut in cuts if cut is not None])
    start = 0
    for index, cuts in waiting:
        there = [place for place, cut in enumerate(cuts) if cut is not None]
        own = require_finite(vectors[start : start + len(there)], f"frame {index}")
        start += len(there)
        parts = np.zeros((len(cuts), vectors.shape[1]), dtype=np.float32)
        parts[there] = own
        yield parts


def _preserved(index: int, source: Pixels, edited: Pixels, coverage: Coverage) -> float | None:
    score = bp(source, edited, np.asarray(~coverage.any(axis=0)))
    if score is not None and not math.isfinite(score):
        raise MediaError(
            f"Frame {index} of the source or of the edited clip holds pixels that are not finite",
            expected="finite numbers",
            fix="Render that frame again",
        )
    return score


def _together(
    source: Iterable[Pixels], edited: Iterable[Pixels], mattes: Iterable[Coverage]
) -> Iterator[tuple[int, tuple[Pixels, Pixels, Coverage]]]:
    """Frames of all three by number. Where one ends early, the rest are counted for the message."""
    counts = [0, 0, 0]
    for index, trio in enumerate(zip_longest(source, edited, mattes)):
        counts = [count + (item is not None) for count, item in zip(counts, trio, strict=True)]
        if min(counts) > index:
            yield index, trio
    if counts[0] != counts[1]:
        raise MediaError(
            f"The source has {counts[0]} frames, the edited clip {counts[1]}",
            expected="as many frames in both",
            fix="Score the frames that were edited (--frames FIRST-LAST), or edit the rest",
        )
    if counts[2] != counts[0]:
        raise MatteError(
            f"The clip has {counts[0]} frames, its mattes {counts[2]}",
            expected="mattes for every frame",
            fix="Export the mattes over the same frames",
        )
    if counts[0] == 0:
        raise MediaError("There are no frames to score", expected="at least one", fix="Check the range of frames")


def _check_sizes(index: int, source: Pixels, edited: Pixels, coverage: Coverage, count: int) -> None:
    if source.shape != edited.shape:
        raise MediaError(
            f"Frame {index} is {_size(source)} pixels in the source, {_size(edited)} in the edited clip",
            expected="frames of one size",
            fix=f"Scale the edited clip to {_size(source)}",
        )
    if coverage.shape[1:] != source.shape[:2]:
        raise MatteError(
            f"Frame {index} is {_size(source)} pixels, its mattes {_size(coverage[0])}",
            expected="mattes of the clip's size",
            fix="Export the mattes at the clip's size, or use --matte-fit fit",
        )
    if len(coverage) != count:
        raise MatteError(
            f"There are {len(coverage)} mattes and {count} captions",
            expected="one caption for every instance",
            fix="Add the captions that are missing, or leave out the mattes without one",
        )


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
