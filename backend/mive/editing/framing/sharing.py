"""Which instances share a view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mive.editing.framing.extents import Ints
from mive.editing.framing.sizes import Fit, fit
from mive.editing.framing.values import FramingRule
from mive.media.sizes import Size

Floats = npt.NDArray[np.float64]

_ATTENTION: Final = 1.0
"""What attention over all frames costs in a view of the model's area, by what all else costs there."""


@dataclass(frozen=True)
class Group:
    """Instances that share a view.

    Attributes:
        ids: theirs, ascending.
        hulls: [N, 4] in each frame the smallest box around the boxes of all of them.
        fit: the sizes of the view.
    """

    ids: tuple[int, ...]
    hulls: Ints
    fit: Fit

    @classmethod
    def of(cls, ids: Iterable[int], boxes: Iterable[Ints], frame: Size, rule: FramingRule) -> Group:
        """The group of instances with these ids and boxes [N, 4]."""
        hulls = _hull(np.stack(list(boxes)))
        width, height = (hulls[:, 2:] - hulls[:, :2]).max(axis=0)
        return cls(tuple(sorted(ids)), hulls, fit((int(height), int(width)), frame, rule))


def share(
    boxes: Mapping[int, Ints], touching: Iterable[tuple[int, int]], frame: Size, rule: FramingRule
) -> list[Group]:
    """Group instances: those that touch, then those whose joint view costs no more than their two views.

    The cost of a view is t + a·t²: t is its tokens in a frame, in units of the model's area, and a·t² its attention, in
    which every token sees those of all frames; the number of frames is the same on both sides. A joint view counts with
    the finer of the two scales, so that nothing is won by showing either smaller, and with no fewer tokens than either
    of the two. Boxes side by side cost more jointly than apart, whatever a is: boxes have to overlap. The
    pair that saves most joins first, and among equals the one with the lowest ids, until no pair saves.

    Args:
        boxes: [N, 4] of each instance by its id.
        touching: pairs of ids.

    Returns:
        Groups by their lowest id, the same for any order of the arguments.
    """
    groups = [
        Group.of(ids, [boxes[identity] for identity in ids], frame, rule) for ids in _connected(sorted(boxes), touching)
    ]
    saved = np.array([_saved(group, groups, rule) for group in groups])
    while len(groups) > 1:
        np.fill_diagonal(saved, -np.inf)
        first, second = sorted(map(int, np.unravel_index(np.argmax(saved), saved.shape)))
        if saved[first, second] < 0:
            break
        one, other = groups[first], groups.pop(second)
        groups[first] = Group.of(one.ids + other.ids, [one.hulls, other.hulls], frame, rule)
        saved = np.delete(np.delete(saved, second, 0), second, 1)
        saved[first] = saved[:, first] = _saved(groups[first], groups, rule)
    return groups


def _connected(ids: list[int], touching: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Sets of ids that a chain of pairs connects, each ascending, by their lowest id."""
    lowest = {identity: identity for identity in ids}
    for pair in sorted(touching):
        a, b = (lowest[identity] for identity in pair)
        lowest = {identity: min(a, b) if low in (a, b) else low for identity, low in lowest.items()}
    return [[identity for identity in ids if lowest[identity] == low] for low in sorted(set(lowest.values()))]


def _saved(group: Group, others: list[Group], rule: FramingRule) -> Floats:
    """What a joint view of a group with each of the others would save, [G]; negative where it costs more."""
    area = rule.model_size**2
    theirs = np.stack([other.hulls for other in others])
    low, high = np.minimum(theirs[..., :2], group.hulls[:, :2]), np.maximum(theirs[..., 2:], group.hulls[:, 2:])
    wanted = (high - low).max(axis=1).prod(axis=1)
    finer = np.array([max(group.fit.scale, other.fit.scale) for other in others])
    one, other = _tokens(group, area), np.array([_tokens(other, area) for other in others])
    joint = np.maximum(wanted * finer**2 / area, np.maximum(one, other))
    return np.asarray(_cost(one) + _cost(other) - _cost(joint))


def _tokens(group: Group, area: int) -> float:
    return group.fit.model[0] * group.fit.model[1] / area


def _cost(tokens: Floats | float) -> Floats | float:
    return tokens + _ATTENTION * tokens**2


def _hull(boxes: Ints) -> Ints:
    """The smallest boxes around boxes [G, …, 4], over the first axis."""
    return np.concatenate([boxes[..., :2].min(axis=0), boxes[..., 2:].max(axis=0)], axis=-1)
