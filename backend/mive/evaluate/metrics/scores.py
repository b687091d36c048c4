"""The paper's eight scores as functions of embeddings and pixels.

N frames, M instances, vectors of d dimensions. All vectors are unit vectors, so a dot product is a
cosine similarity, -1..1. What cannot be computed is None: a score is never made up.

How the paper's sentences are read where they leave room:

- A crop exists only where its instance is visible: ``present[n, i]``.
- LTC and LTF are means over an instance's frames, then over instances.
- IA and CIA are shares of the instances visible in a frame, then means over frames. Where all
  instances are visible throughout, as in the paper's data set, the order of means is irrelevant.
- A greater similarity means a strictly greater one.

Sums are exact before they are rounded, so no order of frames or instances changes a score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mive.base.samples import white
from mive.evaluate.metrics.vectors import Vectors
from mive.media.info import Pixels

Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]


class Local(NamedTuple):
    """A score of crops, over the clip and for each of the M instances."""

    score: float | None
    by_instance: tuple[float | None, ...]


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is there; None where nothing is."""
    there = [float(value) for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None


def gtc(frames: Vectors) -> float | None:
    """Global Temporal Consistency (section 5): mean similarity of consecutive frames.

    Args:
        frames: ``[N, d]``; one frame alone has no consistency, so the score is None.
    """
    return mean(_similarity(frames[1:], frames[:-1]))


def gtf(frames: Vectors, caption: Vectors) -> float | None:
    """Global Textual Faithfulness (section 5): mean similarity of frames and global caption.

    Args:
        frames: ``[N, d]``.
        caption: ``[d]``, what the whole frame should show.
    """
    return mean(_similarity(frames, caption))


def fa(frames: Vectors, target: Vectors, source: Vectors) -> float | None:
    """Frame Accuracy (section 5): share of frames more like the target than the source caption.

    Args:
        frames: ``[N, d]``.
        target: ``[d]``, the global caption of the edit.
        source: ``[d]``, the global caption of the source.
    """
    return mean(_similarity(frames, target) > _similarity(frames, source))


def ltc(crops: Vectors, present: Flags) -> Local:
    """Local Temporal Consistency (Supp. C.3): similarity of an instance's consecutive crops.

    Pairs of neighbouring frames count only where the instance is visible in both.

    Args:
        crops: ``[N, M, d]``; rows where the instance is absent are not looked at.
        present: ``[N, M]``.
    """
    return _over_instances(_similarity(crops[1:], crops[:-1]), present[1:] & present[:-1])


def ltf(crops: Vectors, present: Flags, captions: Vectors) -> Local:
    """Local Textual Faithfulness (Supp. C.3): similarity of crops and their own captions.

    Args:
        crops: ``[N, M, d]``.
        present: ``[N, M]``.
        captions: ``[M, d]``.
    """
    return _over_instances(_similarity(crops, captions), present)


def ia(crops: Vectors, present: Flags, targets: Vectors, sources: Vectors) -> Local:
    """Instance Accuracy (Supp. C.3): share of crops more like the target than the source caption.

    Args:
        crops: ``[N, M, d]``.
        present: ``[N, M]``; False also for instances that have no source caption.
        targets: ``[M, d]``, the captions of the edit.
        sources: ``[M, d]``, the captions of the source.
    """
    return _over_frames(_similarity(crops, targets) > _similarity(crops, sources), present)


def cia(crops: Vectors, present: Flags, captions: Vectors) -> Local:
    """Cross-Instance Accuracy (section 4.2, Eq. 8), of each frame, then its mean over frames.

    In a frame's matrix of crops by captions the greatest entry of each row becomes 1; the score is
    the mean of the diagonal. The rows are the instances visible in the frame, the columns all M
    captions, since what is out of sight can leak too. A row hits unless another caption is strictly
    more similar, so instances that share a caption do not count against each other.

    By instance it is the share of its frames in which its own caption wins; the rest is leakage.

    Args:
        crops: ``[N, M, d]``.
        present: ``[N, M]``.
        captions: ``[M, d]``.
    """
    hits = np.zeros(present.shape, dtype=np.bool_)
    for index, frame in enumerate(crops):
        matrix = _similarity(frame[:, None], captions[None])
        hits[index] = matrix.diagonal() >= matrix.max(axis=1)
    return _over_frames(hits, present)


def bp(source: Pixels, edited: Pixels, background: Flags) -> float | None:
    """Background Preservation of one frame (section 5): L1 distance, 0 = untouched.

    Args:
        source: ``[H, W, 3]`` uint8, uint16 or float32 (0..1; what lies beyond is not clipped).
        edited: ``[H, W, 3]``, of the same or another of these types.
        background: ``[H, W]``, where no matte covers anything.

    Returns:
        The mean over background pixels and channels in code values of 8 bits, 0..255, or None where
        there is no background.
    """
    if not background.any():
        return None
    difference = _codes(source[background])
    difference -= _codes(edited[background])
    return float(np.abs(difference, out=difference).mean(dtype=np.float64))


def _codes(pixels: Pixels) -> npt.NDArray[np.float32]:
    return pixels.astype(np.float32) * np.float32(255 / white(pixels.dtype))


def _similarity(left: Vectors, right: Vectors) -> Values:
    """Dot products along the last axis, the others broadcast.

    Not a matrix product: that may round equal columns differently and so break ties at random.
    """
    return np.asarray((left.astype(np.float64) * right).sum(axis=-1))


def _by_instance(values: Values | Flags, valid: Flags) -> tuple[float | None, ...]:
    return tuple(mean(values[valid[:, i], i]) for i in range(values.shape[1]))


def _over_instances(values: Values, valid: Flags) -> Local:
    by_instance = _by_instance(values, valid)
    return Local(mean(by_instance), by_instance)


def _over_frames(hits: Flags, valid: Flags) -> Local:
    frames = [mean(row[there]) for row, there in zip(hits, valid, strict=True)]
    return Local(mean(frames), _by_instance(hits, valid))
