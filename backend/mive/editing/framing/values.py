"""Views and framings as values: compared, hashed, printed, kept in files and sent to other machines."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import NamedTuple, Self

from pydantic import Field, model_validator

from mive.base.validation import Model, reject
from mive.editing.windows import Window, make_windows
from mive.media.sizes import Size, model_size
from mive.networks.bundle_layout import Layout
from mive.request import FrameRange, ResolvedSettings
from mive.settings import (
    CLOSEST,
    CONTEXT,
    FRAMING,
    OVERLAP,
    WINDOW,
    Closest,
    Context,
    Count,
    FramingName,
    Index,
    Pixels,
    check_windows,
)


class Box(NamedTuple):
    """Pixels ``left`` to ``right`` − 1 and ``top`` to ``bottom`` − 1 of a clip."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the box, to index a frame with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


class FramingRule(Model):
    """All that decides a framing besides the mattes."""

    framing: FramingName = Field(
        default=FRAMING, description="what the model sees: whole frames, or where the mattes are"
    )
    context: Context = Field(default=CONTEXT, description="the sides of a view by the sides of its instance")
    closest: Closest = Field(default=CLOSEST, description="the most model pixels to a pixel of the clip")
    window: Count = Field(default=WINDOW, description="the frames edited at one time")
    overlap: Index = Field(default=OVERLAP, description="the frames that neighbouring windows share")
    model_size: Pixels = Field(description="the short side of whole frames, and the square root of a view's area")
    multiple: Count = Field(description="the pixels that the sides of a view's picture are a multiple of")
    cell: Count = Field(description="the pixels of a latent, along each side")

    @classmethod
    def of(cls, settings: ResolvedSettings, layout: Layout) -> Self:
        """The rule for the settings of an edit and the networks of a bundle.

        One caption for the whole shot edits whole frames, whatever ``settings.framing`` says.
        """
        return cls(
            framing="whole" if settings.caption_mode == "global" else settings.framing,
            context=settings.context,
            closest=settings.closest,
            window=settings.window,
            overlap=settings.overlap,
            model_size=settings.model_size,
            multiple=layout.latent_multiple,
            cell=layout.latent_factor,
        )

    @model_validator(mode="after")
    def _advances(self) -> Self:
        check_windows(self.window, self.overlap)
        return self

    def whole_size(self, width: int, height: int) -> Size:
        """(height, width) at which the model sees whole frames of ``width`` × ``height`` pixels."""
        return model_size(width, height, self.model_size, self.multiple)


class View(Model):
    """What the model sees at one time: a box of each of a run of frames, scaled to one size.

    The box has one size and moves by whole pixels, or stands still; so its scale is constant.
    """

    frames: FrameRange = Field(description="the frames, by their index in the clip")
    width: Count = Field(description="the width of the box in pixels of the clip")
    height: Count = Field(description="the height of the box in pixels of the clip")
    corners: tuple[tuple[Index, Index], ...] = Field(
        description="the left and top of the box in each frame; one pair where it stands still"
    )
    model_width: Count = Field(description="the width of the picture that the model sees")
    model_height: Count = Field(description="the height of the picture that the model sees")
    instances: tuple[Count, ...] = Field(description="the ids of the instances that are edited in it, ascending")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.corners) not in (1, len(self.frames)):
            reject(
                f"there are {len(self.corners)} corners for {len(self.frames)} frames",
                expected="one for each frame, or one that stands still",
                fix="Give as many as there are frames",
                at=["corners"],
            )
        return self

    @property
    def still(self) -> bool:
        """Whether the box is the same in all frames."""
        return len(self.corners) == 1

    @property
    def model_size(self) -> Size:
        """(height, width) of the picture that the model sees."""
        return self.model_height, self.model_width

    @property
    def scale(self) -> float:
        """Model pixels to a pixel of the clip, along the side that has fewer."""
        return min(self.model_width / self.width, self.model_height / self.height)

    def shows_as(self, other: View, frames: FrameRange) -> bool:
        """Whether both show ``frames``, which both have, alike: the same boxes at one size, for the same instances."""
        sizes = {(v.width, v.height, v.model_width, v.model_height, v.instances) for v in (self, other)}
        return len(sizes) == 1 and all(self.box(index) == other.box(index) for index in frames.indices())

    def box(self, index: int) -> Box:
        """The box at frame ``index`` of the clip.

        Raises:
            IndexError: the frame is none of the view's.
        """
        if index not in self.frames.indices():
            raise IndexError(f"frame {index} is outside {self.frames}")
        left, top = self.corners[0 if self.still else index - self.frames.first]
        return Box(left, top, left + self.width, top + self.height)


class FramedWindow(NamedTuple):
    """Frames that are edited together.

    Attributes:
        window: in frames from the first edited one on.
        frames: the same in the clip.
        views: what the model sees of them; none where no instance is seen.
    """

    window: Window
    frames: FrameRange
    views: tuple[View, ...]

    @property
    def final(self) -> FrameRange:
        """The frames of the clip that are finished with it."""
        return FrameRange(self.frames.first, self.frames.first + self.window.final - 1)


class Framing(Model):
    """All views of a shot. What the model sees of each window is independent of its other views."""

    width: Count = Field(description="the width of the clip's frames in pixels")
    height: Count = Field(description="the height of the clip's frames in pixels")
    frames: FrameRange = Field(description="the frames that are edited, by their index in the clip")
    instances: tuple[Count, ...] = Field(description="the ids of the instances that are edited, ascending")
    rule: FramingRule = Field(description="what decided the views besides the mattes")
    views: tuple[View, ...] = Field(description="the views, by their first frame, then by their instances")

    def windows(self) -> list[FramedWindow]:
        """All windows of frames that are edited together, in order."""
        by_first = defaultdict[int, list[View]](list)
        for view in self.views:
            by_first[view.frames.first].append(view)
        planned = make_windows(len(self.frames), self.rule.window, self.rule.overlap)
        starts = [(self.frames.first + window.first, window) for window in planned]
        return [
            FramedWindow(window, FrameRange(first, first + window.length - 1), tuple(by_first[first]))
            for first, window in starts
        ]

    def digest(self) -> str:
        """SHA-256 (hex) of all fields; the same on every machine."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def is_whole(self, view: View) -> bool:
        """Whether a view shows the whole frame."""
        return (view.width, view.height) == (self.width, self.height)
