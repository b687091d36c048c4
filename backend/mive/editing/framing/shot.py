"""From where the mattes of a shot are to its views."""

from __future__ import annotations

import numpy as np

from mive.editing.framing.boxes import instance_boxes, place
from mive.editing.framing.extents import Extents
from mive.editing.framing.sharing import Group, share
from mive.editing.framing.values import Framing, FramingRule, View
from mive.editing.windows import Window, make_windows
from mive.request import FrameRange


def frame_shot(extents: Extents, rule: FramingRule) -> Framing:
    """All views of a shot; the same for the same arguments, on any machine.

    With ``framing="whole"`` each window of frames has one view, the whole frame with all instances. With "close" each
    window has views of the instances that are seen in it, each in exactly one, whose boxes hold every pixel of their
    mattes; a window in which none is seen has no view.
    """
    windows = make_windows(len(extents.boxes), rule.window, rule.overlap)
    views = [view for window in windows for view in _views(extents, window, rule)]
    return Framing(
        width=extents.width,
        height=extents.height,
        frames=extents.frames,
        instances=extents.ids,
        rule=rule,
        views=tuple(views),
    )


def _views(extents: Extents, window: Window, rule: FramingRule) -> list[View]:
    first = extents.first + window.first
    frames = FrameRange(first, first + window.length - 1)
    if rule.framing == "whole":
        return [_whole(extents, frames, extents.ids, rule)]
    close, whole = [], set[int]()
    for group in _groups(extents, window, rule):
        if group.fit.box == (extents.height, extents.width):
            whole.update(group.ids)
        else:
            close.append(_close(extents, frames, group))
    if whole:
        close.append(_whole(extents, frames, tuple(sorted(whole)), rule))
    return sorted(close, key=lambda view: view.instances)


def _groups(extents: Extents, window: Window, rule: FramingRule) -> list[Group]:
    part = slice(window.first, window.first + window.length)
    frame = (extents.height, extents.width)
    boxes = {
        identity: instance_boxes(extents.boxes[part, m], frame, rule.context)
        for m, identity in enumerate(extents.ids)
        if extents.pixels[part, m].any()
    }
    touching = frozenset[tuple[int, int]]().union(*extents.touching[part])
    return share(boxes, touching, frame, rule)


def _whole(extents: Extents, frames: FrameRange, ids: tuple[int, ...], rule: FramingRule) -> View:
    height, width = rule.whole_size(extents.width, extents.height)
    return View(
        frames=frames,
        width=extents.width,
        height=extents.height,
        corners=((0, 0),),
        model_width=width,
        model_height=height,
        instances=ids,
    )


def _close(extents: Extents, frames: FrameRange, group: Group) -> View:
    low, high = group.hulls[:, :2], group.hulls[:, 2:]
    size, limit = np.array(group.fit.box[::-1]), np.array([extents.width, extents.height])
    corners = [(int(x), int(y)) for x, y in place((low + high) / 2, size, limit, low, high)[:, :2]]
    return View(
        frames=frames,
        width=group.fit.box[1],
        height=group.fit.box[0],
        corners=tuple(corners[:1] if len(set(corners)) == 1 else corners),
        model_width=group.fit.model[1],
        model_height=group.fit.model[0],
        instances=group.ids,
    )
