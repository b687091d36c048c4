"""Live previews: how each instance looks so far, from its latents alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mive.editing.views import Place
from mive.media.sizes import model_frame
from mive.method.sampling import Sampler, State
from mive.plans import Lps, Nps, PlanStep

LONGEST_SIDE = 256
"""Pixels of a preview's longer side at most."""

_MARGIN = 2
"""Latents that a preview shows around its instance."""


@dataclass(frozen=True)
class Preview:
    """One instance as it looks after a step.

    Attributes:
        instance: its index in the request.
        frame: index of the frame in the view; as `Previews.tell` is told, counted from the first edited frame.
        image: uint8 [h, w, 3], the part of the frame around the instance.
    """

    instance: int
    frame: int
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class Previews:
    """Previews as a caller wants them.

    Attributes:
        every: steps of the plan between two of them, 1 or more.
        tell: given each preview with the steps done and all steps, both over all views; sketches come after step 0.
        sketches: whether instances are sketched before the first step.
    """

    every: int
    tell: Callable[[Preview, int, int], None]
    sketches: bool = True

    def of_view(self, first: int, instances: Sequence[int], place: Place) -> Previews:
        """The same for one view, in its own numbers of instances, frames and steps.

        Args:
            first: the view's first frame, counted from the first edited one.
            instances: their indices in the request.
            place: of the view.
        """

        def tell(preview: Preview, done: int, total: int) -> None:
            shown = replace(preview, instance=instances[preview.instance], frame=first + preview.frame)
            self.tell(shown, *place.over_all(done, total))

        # When another window begins, most instances have been seen as they become.
        return Previews(self.every, tell, self.sketches and place.window == 1)

    def show(self, made: Iterator[Preview], done: int, total: int) -> None:
        """Make and tell the previews after a step, if it is one of those that have any."""
        if done % self.every == 0:
            for preview in made:
                self.tell(preview, done, total)


class ViewPreview:
    """Makes the previews of one view without running a network.

    The source has taken the same noise as the edit, so at every timestep what the two latents differ by is the change:
    z_0 + (ẑ_t - z̃_t) / √ᾱ_t. It grows from nothing to the edit as t falls; with a variation the edit has other noise,
    which shows until late. Colours come from a linear fit of the view's own pixels to its own latents, which serves
    any VAE. Outside the instance a preview shows the source.

    Args:
        pixels: [N, H, W, 3] in 0..1, the view at model size.
        z_0: [N, C, h, w], their latents.
        masks: [M, N, 1, h, w].
    """

    def __init__(self, pixels: NDArray[np.float32], z_0: Tensor, masks: Tensor) -> None:
        self._fit = _fit_colours(pixels, z_0)
        self._frames: dict[int, int] = {}
        self._places: dict[int, _Place] = {}
        for index, mask in enumerate(masks[:, :, 0].float().cpu().numpy()):
            # An instance is shown where most of it is seen.
            frame = int(mask.sum((1, 2)).argmax())
            if mask[frame].any():
                self._frames[index], self._places[index] = frame, _Place(pixels[frame], mask[frame])

    def before(self, sketch: Callable[[int, int], Tensor]) -> Iterator[Preview]:
        """A preview of every instance that is seen, from sketches.

        Args:
            sketch: makes ẑ_0 [C, h, w] of an instance in a frame.
        """
        for index, frame in self._frames.items():
            yield self._preview(index, frame, sketch(index, frame))

    def after(self, step: PlanStep, state: State, sampler: Sampler) -> Iterator[Preview]:
        """A preview of every instance that is seen after a sampling step, none after others."""
        if not isinstance(step, (Lps, Nps)):
            return
        t, inverted = sampler.grids.before(step.s), sampler.inverted
        for index, frame in self._frames.items():
            z = state.fused if state.instances is None else state.instances[index]
            assert z is not None
            change = (z[frame] - inverted[t][frame]) / sampler.schedule.alpha(t) ** 0.5
            yield self._preview(index, frame, inverted[None][frame] + change)

    def _preview(self, index: int, frame: int, z_0: Tensor) -> Preview:
        return Preview(index, frame, self._places[index].show(self._colours(z_0)))

    def _colours(self, z: Tensor) -> NDArray[np.float32]:
        """Latents [C, h, w] to colours [h, w, 3] in 0..1."""
        rows = _with_one(z.permute(1, 2, 0).float().cpu())
        return np.asarray((rows @ self._fit).clamp(0, 1).numpy(), np.float32)


def _fit_colours(pixels: NDArray[np.float32], z_0: Tensor) -> Tensor:
    """Least squares from latents and 1 to colours, [C + 1, 3]."""
    height, width = z_0.shape[-2:]
    small = np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in pixels])
    latents = _with_one(z_0.permute(0, 2, 3, 1).float().cpu()).flatten(0, 2)
    solution: Tensor = torch.linalg.lstsq(latents, torch.from_numpy(small).flatten(0, 2), driver="gelsd").solution
    return solution


def _with_one(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones_like(x[..., :1])], -1)


class _Place:
    """Where an instance is in its frame, and what is around it there.

    Args:
        frame: [H, W, 3] in 0..1.
        mask: float [h, w], 0 or 1, with any.
    """

    def __init__(self, frame: NDArray[np.float32], mask: NDArray[np.float32]) -> None:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        top, bottom = max(rows[0] - _MARGIN, 0), min(rows[-1] + _MARGIN + 1, mask.shape[0])
        left, right = max(columns[0] - _MARGIN, 0), min(columns[-1] + _MARGIN + 1, mask.shape[1])
        self._part = (slice(top, bottom), slice(left, right))
        height, width = bottom - top, right - left
        scale = LONGEST_SIDE // max(height, width) or LONGEST_SIDE / max(height, width)
        self._size = (max(int(width * scale), 1), max(int(height * scale), 1))
        down, across = frame.shape[0] // mask.shape[0], frame.shape[1] // mask.shape[1]
        source = frame[top * down : bottom * down, left * across : right * across]
        self._source = model_frame(source, self._size[::-1])
        self._alpha = cv2.resize(mask[self._part], self._size, interpolation=cv2.INTER_LINEAR)[..., None]

    def show(self, colours: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Colours [h, w, 3] in 0..1 of the whole frame, at this place and over the source, [height, width, 3]."""
        edited = model_frame(colours[self._part], self._size[::-1])
        mixed = self._source + self._alpha * (edited - self._source)
        return np.asarray(mixed * 255 + 0.5, np.uint8)
