"""What a framing leaves unedited or hardly edited, said in words: nothing asked for is lost in silence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from mive.base.validation import Model
from mive.editing.framing.extents import Extents
from mive.editing.framing.values import Framing, View
from mive.settings import Count, Index

Cells = frozenset[tuple[int, int]]


class Loss(Model):
    """Something that does not become what was asked for, and where."""

    kind: Literal["hidden", "small", "crowded"] = Field(
        description="why: no pixel is seen, less than a cell of the model's grid, or fewer cells than instances"
    )
    instances: tuple[Count, ...] = Field(description="the ids of the instances, ascending")
    frames: tuple[Index, ...] = Field(description="the frames, by their index in the clip")
    of: Count = Field(description="how many frames are edited in all")
    pixels: Index = Field(default=0, description="the most pixels that a small instance has in these frames")

    @property
    def sentence(self) -> str:
        """What the user should know, in one sentence without a full stop."""
        names = ", ".join(map(str, self.instances[:8])) + (" …" if len(self.instances) > 8 else "")
        where = f"in {len(self.frames)} of {self.of} frame{'s' if self.of != 1 else ''}"
        if self.kind == "hidden":
            return f"instance {names} is hidden {where}: not edited there"
        if self.kind == "small":
            size = f"{self.pixels} pixel{'s' if self.pixels != 1 else ''}"
            return f"instance {names} is {size} {where}: less than a cell of the model's grid, hardly edited there"
        return f"instances {names} share too few cells of the model's grid {where}: not all of them are edited there"


def find_losses(framing: Framing, extents: Extents) -> tuple[Loss, ...]:
    """Where instances are hidden, where they are too small for their view, where too many of them are in one place.

    Args:
        extents: those that the framing was made from.

    Returns:
        Hidden ones, small ones and crowded ones, each by id.
    """
    return (*_hidden(extents), *_small(framing, extents), *_crowded(framing, extents))


def _hidden(extents: Extents) -> Iterator[Loss]:
    for m, identity in enumerate(extents.ids):
        frames = np.flatnonzero(extents.pixels[:, m] == 0) + extents.first
        if frames.size:
            yield Loss(kind="hidden", instances=(identity,), frames=tuple(frames.tolist()), of=len(extents.boxes))


def _small(framing: Framing, extents: Extents) -> Iterator[Loss]:
    """Of a frame that two windows share the one in which an instance is larger counts."""
    cells = np.zeros(extents.pixels.shape, np.float64)
    for view in framing.views:
        part = slice(view.frames.first - extents.first, view.frames.last + 1 - extents.first)
        area = view.model_width * view.model_height / (view.width * view.height) / framing.rule.cell**2
        for m in _places(extents, view):
            cells[part, m] = np.maximum(cells[part, m], extents.pixels[part, m] * area)
    small = (extents.pixels > 0) & (cells < 1)
    for m, identity in enumerate(extents.ids):
        frames = np.flatnonzero(small[:, m])
        if frames.size:
            yield Loss(
                kind="small",
                instances=(identity,),
                frames=tuple((frames + extents.first).tolist()),
                of=len(extents.boxes),
                pixels=int(extents.pixels[frames, m].max()),
            )


def _crowded(framing: Framing, extents: Extents) -> Iterator[Loss]:
    found = defaultdict[tuple[int, ...], set[int]](set)
    for view in framing.views:
        for index in view.frames.indices():
            cells = {extents.ids[m]: _cells(framing, extents, view, index, m) for m in _places(extents, view)}
            crowd = _more_than_cells({identity: there for identity, there in cells.items() if there})
            if crowd:
                found[crowd].add(index)
    for crowd, frames in sorted(found.items()):
        yield Loss(kind="crowded", instances=crowd, frames=tuple(sorted(frames)), of=len(extents.boxes))


def _places(extents: Extents, view: View) -> list[int]:
    return [extents.ids.index(identity) for identity in view.instances]


def _cells(framing: Framing, extents: Extents, view: View, index: int, m: int) -> Cells:
    """The cells (row, column) of a view's grid within reach of an instance: none holds two instances."""
    at = index - extents.first
    if not extents.pixels[at, m]:
        return frozenset()
    left, top, right, bottom = map(int, extents.boxes[at, m])
    box, cell = view.box(index), framing.rule.cell
    columns = _span(left - box.left, right - box.left, view.model_width // cell, view.width)
    rows = _span(top - box.top, bottom - box.top, view.model_height // cell, view.height)
    # As many cells as there are instances are enough for anyone.
    if len(rows) * len(columns) >= len(view.instances):
        return frozenset()
    return frozenset((row, column) for row in rows for column in columns)


def _span(low: int, high: int, cells: int, pixels: int) -> range:
    """The cells that pixels ``low`` to ``high`` − 1 of a side touch."""
    return range(low * cells // pixels, -(-high * cells // pixels))


def _more_than_cells(reach: dict[int, Cells]) -> tuple[int, ...]:
    """Instances that have fewer cells within their reach, all together, than they are (Hall's theorem), ascending."""
    owner: dict[tuple[int, int], int] = {}
    crowd = set[int]()
    for identity in sorted(reach):
        crowd |= _settle(identity, reach, owner)
    return tuple(sorted(crowd))


def _settle(newcomer: int, reach: dict[int, Cells], owner: dict[tuple[int, int], int]) -> set[int]:
    """Give an instance a cell, moving others on where that helps; else those that share all cells in question."""
    came_from: dict[tuple[int, int], int] = {}
    asking, asked = [newcomer], {newcomer}
    while asking:
        identity = asking.pop()
        for cell in sorted(reach[identity] - came_from.keys()):
            came_from[cell] = identity
            if cell not in owner:
                _move(cell, newcomer, came_from, owner)
                return set()
            if owner[cell] not in asked:
                asked.add(owner[cell])
                asking.append(owner[cell])
    return asked


def _move(
    free: tuple[int, int], newcomer: int, came_from: dict[tuple[int, int], int], owner: dict[tuple[int, int], int]
) -> None:
    """Along the way that led to a free cell each takes the cell it asked for and leaves its own."""
    cell: tuple[int, int] | None = free
    while cell is not None:
        identity = came_from[cell]
        old = None if identity == newcomer else next(c for c, who in owner.items() if who == identity)
        owner[cell] = identity
        cell = old
