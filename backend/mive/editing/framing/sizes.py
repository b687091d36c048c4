"""How large a view is, in the clip and for the model."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from mive.editing.framing.values import FramingRule
from mive.media.sizes import Size

_MOST: Final = 0.5
"""A view that would cover more of the frame than this is the whole frame."""


class Fit(NamedTuple):
    """The sizes of a view, (height, width) each.

    Attributes:
        box: in pixels of the clip.
        model: in pixels of the picture that the model sees.
    """

    box: Size
    model: Size

    @property
    def scale(self) -> float:
        """Model pixels to a pixel of the clip, along the side that has fewer."""
        return min(self.model[0] / self.box[0], self.model[1] / self.box[1])


def fit(wanted: Size, frame: Size, rule: FramingRule) -> Fit:
    """The sizes that show ``wanted`` at the largest scale, or those of the whole frame.

    The picture fills the model's area, ``model_size``² pixels, as far as multiples of ``multiple`` can, in whatever
    aspect ratio suits. Its box is what that picture covers: never less than ``wanted``, and more where its aspect ratio
    or the limit ``closest`` leaves room. It is the whole frame where no box of a greater scale than the whole frame's
    lies inside it, or where that box would be most of it.

    Args:
        wanted: (height, width) in pixels of the clip, at most the frame's.
        frame: (height, width) of the clip.
    """
    height, width = frame
    whole = Fit(frame, rule.whole_size(width, height))
    least = max(whole.model[0] / height, whole.model[1] / width)
    steps = max(1, rule.model_size**2 // rule.multiple**2)
    best: tuple[float, int, int] | None = None
    chosen = whole
    for columns in range(1, steps + 1):
        model = (steps // columns * rule.multiple, columns * rule.multiple)
        box = _covered(wanted, model, rule.closest)
        found = Fit(box, model)
        if box[0] > height or box[1] > width or found.scale < least or box[0] * box[1] > _MOST * height * width:
            continue
        # Of equal scales the squarest picture, as models know it best, then the one that shows most.
        rank = (found.scale, -abs(model[0] - model[1]), model[0] * model[1])
        if best is None or rank > best:
            best, chosen = rank, found
    return chosen


def _covered(wanted: Size, model: Size, closest: float) -> Size:
    """The box that a picture of size ``model`` covers when it just holds ``wanted``, or stops at ``closest``."""
    if model[0] * wanted[1] <= model[1] * wanted[0]:
        box = wanted[0], -(-model[1] * wanted[0] // model[0])
    else:
        box = -(-model[0] * wanted[1] // model[1]), wanted[1]
    return max(box[0], math.ceil(model[0] / closest)), max(box[1], math.ceil(model[1] / closest))
