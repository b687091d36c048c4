"""From frames of the clip to the pictures of views, and back to the clip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mive.editing.framing.values import View
from mive.media import Coverage, Pixels, inward_feather, paste
from mive.media.enlarging import enlarge
from mive.media.grain import lay_grain
from mive.media.paste import shown_to_model
from mive.media.sizes import model_frame

Floats = npt.NDArray[np.float32]


def to_model(frame: Pixels, view: View, index: int) -> Floats:
    """What the model sees of frame ``index`` of the clip.

    The box is cut out and resized, by area where it becomes smaller and bicubically where it becomes larger (see
    `mive.media.sizes.resize_filter`).

    Args:
        frame: [H, W, 3] of the clip in any depth; float is clipped to 0..1.

    Returns:
        [h, w, 3] in 0..1 of the view's model size.

    Raises:
        IndexError: the frame is none of the view's.
    """
    return model_frame(shown_to_model(frame[view.box(index).slices]), view.model_size)


def to_clip(decoded: Floats, view: View) -> Floats:
    """What came of a picture of the view's model size, [h, w, 3] in 0..1, at the size of its box.

    The way back of `to_model`, by the same choice of filter.
    """
    return model_frame(decoded, (view.height, view.width))


class Picture(NamedTuple):
    """What came of one frame of a view.

    Attributes:
        view: that it was made in.
        decoded: [h, w, 3] in 0..1, of the view's model size.
        weight: its part of a cross-fade, above 0; those of one instance add up to 1.
    """

    view: View
    decoded: Floats
    weight: float = 1.0


class Finish(NamedTuple):
    """What is done to pictures on their way to the plate.

    Attributes:
        detail: 0..1, how much of the plate's detail what is enlarged takes; see `mive.media.enlarging`.
        grain: 0..1, how much of the plate's grain is laid over them; see `mive.media.grain`.
        seed: of the grain.
        feather: the soft edge inside the mattes, in pixels of the clip.
    """

    detail: float = 0.0
    grain: float = 0.0
    seed: int = 0
    feather: float = 0.0


def paste_views(
    source: Pixels,
    pictures: Iterable[Picture],
    mattes: Coverage,
    ids: Sequence[int],
    index: int,
    finish: Finish = Finish(),  # noqa: B008 (it cannot change)
) -> Pixels:
    """One frame with what came of its views inside the mattes of their instances, all else as it was.

    Mattes are net: what lies on top has taken its share from what lies below (see `mive.media.Mattes`). So the order of
    the request's layers is in them, and views must not be pasted over one another, which would let the upper ones
    take twice. They are mixed by their shares, whatever their order, and pasted once, which rounds once.

    Args:
        source: [H, W, 3] in any depth.
        pictures: of frame ``index``.
        mattes: [M, H, W] of this frame, at the clip's size.
        ids: of the M instances.
        index: the frame's, in the clip.

    Returns:
        [H, W, 3] of the source's type.
    """
    mixed = np.zeros(source.shape, np.float32)
    covered = np.zeros(source.shape[:2], np.float32)
    shown = set[int]()
    for view, decoded, weight in pictures:
        box = view.box(index).slices
        parts = mattes[[ids.index(identity) for identity in view.instances]][:, *box]
        finished = _finished(decoded, view, source[box], parts, (index, view.instances[0]), finish)
        own = parts.sum(0) * np.float32(weight)
        covered[box] += own
        # The first to cover a pixel has a share of exactly 1 of 0, so it arrives unchanged.
        share = np.divide(own, covered[box], out=np.zeros_like(own), where=covered[box] > 0)
        mixed[box] += (finished - mixed[box]) * share[..., None]
        shown.update(view.instances)
    edited = mattes[[place for place, identity in enumerate(ids) if identity in shown]].sum(0)
    alpha = np.where(covered > 0, np.clip(edited, 0, 1), np.float32(0))
    return paste(source, mixed, inward_feather(alpha, finish.feather) if finish.feather else alpha)


def _finished(
    decoded: Floats, view: View, source: Pixels, mattes: Coverage, place: tuple[int, int], finish: Finish
) -> Floats:
    """A picture at the size of its box, [H, W, 3] in 0..1, with the detail and the grain of what lies under it.

    Args:
        source: the box of the plate.
        mattes: [M, H, W] of the view's instances.
        place: tells this picture from all others, for the seed.
    """
    picture = to_clip(decoded, view)
    if not (finish.detail and view.scale < 1) and not finish.grain:
        return picture
    plate = shown_to_model(source)
    if finish.detail and view.scale < 1:
        fine = enlarge(decoded, model_frame(plate, view.model_size), plate, mattes.sum(0))
        picture = picture + np.float32(finish.detail) * (fine - picture)
    if finish.grain:
        for number, matte in enumerate(mattes):
            picture = lay_grain(picture, plate, matte, finish.grain, (finish.seed, *place, number))
    return picture
