"""A view as an edit of its own, and how the edits of views make up the frames of a window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mive.base.progress import Progress, Report
from mive.editing.framing import FramedWindow, View
from mive.media import Mattes
from mive.request import EditRequest, FrameRange, ResolvedSettings

_LARGE: Final = 3.5
"""Model pixels to a pixel of the clip: what is enlarged more has few pixels of its own."""

_FEW: Final = 3
"""Instances: where more are side by side, captions leak into one another under weak guidance."""


Teller = Callable[[str, int, int], None]
"""Told a stage, how many of its steps are done, and of how many."""


@dataclass(frozen=True)
class Place:
    """Where a view stands in an edit.

    Attributes:
        window, windows: its window, counted from 1, and how many there are.
        view, views: the view, counted from 1 over all windows, and how many there are.
    """

    window: int
    windows: int
    view: int
    views: int

    def over_all(self, done: int, total: int) -> tuple[int, int]:
        """Steps of this view as steps over all views, of which each has as many."""
        return (self.view - 1) * total + done, self.views * total

    def teller(self, report: Report) -> Teller:
        """Reports a stage of this view as progress of the whole edit."""

        def tell(stage: str, done: int, total: int) -> None:
            report(Progress(stage, *self.over_all(done, total), self.window, self.windows, self.view, self.views))

        return tell


@dataclass(frozen=True)
class ViewPart:
    """What of a request a view is about.

    Attributes:
        whole: the request.
        mattes: of all its instances.
    """

    whole: EditRequest
    settings: ResolvedSettings
    view: View
    mattes: Mattes

    @property
    def places(self) -> tuple[int, ...]:
        """The view's instances by their index in the request, in its order."""
        return tuple(i for i, instance in enumerate(self.whole.instances) if instance.id in self.view.instances)

    @property
    def request(self) -> EditRequest:
        """A request for the view's instances alone, each with its guidance in this view."""
        general = view_guidance(self.settings, self.view)
        instances = [self.whole.instances[place] for place in self.places]
        guided = [i if i.guidance is not None else i.model_copy(update={"guidance": general}) for i in instances]
        return self.whole.model_copy(update={"instances": tuple(guided)})

    def planes(self) -> Iterator[NDArray[np.float32]]:
        """Each frame's mattes [M, height, width] in 0..1 in the view's box, as the method sees them.

        One caption for the whole shot edits the frame as a whole: a single matte of ones. One frame's mattes at a time,
        for at full resolution a window of them outweighs all else.
        """
        rows = [self.mattes.ids.index(self.whole.instances[place].id) for place in self.places]
        for index in self.view.frames.indices():
            if self.settings.caption_mode == "global":
                yield np.ones((1, self.view.height, self.view.width), np.float32)
            else:
                yield self.mattes.read(index)[rows, *self.view.box(index).slices]


def view_guidance(settings: ResolvedSettings, view: View) -> float | None:
    """The guidance scale of a view's instances that have none of their own; None is that of the settings.

    ``close_guidance`` is for what close framing shows well: few instances, which have pixels of their own.
    """
    well = len(view.instances) <= _FEW and view.scale < _LARGE
    return settings.close_guidance if well and settings.framing == "close" else None


@dataclass(frozen=True, eq=False)
class Layer:
    """What frames are pasted from, or a part of it.

    Attributes:
        view: that it was made in.
        z: latents [N, C, h, w] of N frames, from the first of a window on.
        weights: of each of these frames in a cross-fade; those of one instance add up to 1.
    """

    view: View
    z: Tensor
    weights: tuple[float, ...]

    def after(self, count: int) -> Layer:
        """The same without the first ``count`` frames."""
        return Layer(self.view, self.z[count:], self.weights[count:])


def layers(framed: FramedWindow, before: Sequence[Layer], made: Iterable[tuple[View, Tensor]]) -> list[Layer]:
    """The layers of a window, cross-faded from what the last one made of the shared frames.

    Latents are cross-faded where both windows show the shared frames alike, as whole frames do; else pictures are.

    Args:
        before: of the last window, from this window's first frame on.
        made: this window's views with their z_0.
    """
    window, found, alike = framed.window, list[Layer](), list[Layer]()
    rising = tuple((offset + 1) / (window.shared + 1) for offset in range(window.shared))
    for view, z_0 in made:
        like = next((layer for layer in before if _alike(layer, view, framed)), None)
        if like is not None:
            alike.append(like)
            z_0 = window.blend(like.z, z_0)
        start = rising if like is None else (1.0,) * window.shared
        found.append(Layer(view, z_0, (*start, *(1.0,) * (len(z_0) - window.shared))))
    for layer in before:
        if layer not in alike:
            # One that was fading out already may end before the shared frames do.
            falling = tuple(weight * (1 - now) for weight, now in zip(layer.weights, rising, strict=False))
            found.append(replace(layer, weights=falling))
    return found


def _alike(layer: Layer, view: View, framed: FramedWindow) -> bool:
    first, count = framed.frames.first, framed.window.shared
    return set(layer.weights) == {1.0} and view.shows_as(layer.view, FrameRange(first, first + count - 1))
