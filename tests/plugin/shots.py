"""What the tests of the plugin have in common: effects on footage, and what they should show."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.hosts.fake_bridge import noise
from tests.hosts.link import Pixels
from tests.hosts.ofx_host import FILTER, Content, Host
from tests.hosts.ofx_instance import Effect

CAPTIONS = "1: a red ball\n2: a blue cube"


def effect_on(footage: Content, host: Host, context: str = FILTER, **values: Any) -> Effect:
    """An instance with captions, on this footage."""
    return host.create(context, {"Source": footage}, {"captions": CAPTIONS, **values})


def analysed(effect: Effect) -> Effect:
    """The instance after its user pressed Analyse, with all frames done."""
    effect.press("analyse")
    assert effect.status.startswith("Done"), effect.status
    return effect


def edited(source: Pixels, frame: int, premultiplied: bool = False) -> Pixels:
    """What the fake bridge's noise makes of a source."""
    height, width = source.shape[:2]
    edit = noise(frame, (height, width, 4), source.dtype)
    inside = edit[..., 3] != 0
    shown = source.copy()
    colours = _multiplied(edit[..., :3], source[..., 3:]) if premultiplied else edit[..., :3]
    shown[inside, :3] = colours[inside]
    return shown


def _multiplied(colours: Pixels, alpha: Pixels) -> Pixels:
    if colours.dtype == np.float32:
        return np.asarray(colours * alpha)
    white = np.iinfo(colours.dtype).max
    return ((colours.astype(np.int64) * alpha + white // 2) // white).astype(colours.dtype)


def as_depth(frame: Pixels, depth: str) -> Pixels:
    """An 8-bit frame in another depth; ``"float"`` goes beyond 0..1, as HDR does."""
    match depth:
        case "short":
            return (frame.astype(np.uint16) * 257).astype(np.uint16)
        case "float":
            return (frame.astype(np.float32) / 200 - np.float32(0.1)).astype(np.float32)
    return frame
