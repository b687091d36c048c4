"""Clips, mattes and outputs: everything between files and arrays of pixels.

Frames are ``[H, W, 3]`` RGB in the source's own samples (uint8, uint16 or float32), upright and in
display size. Nothing here needs torch, and no clip is ever held in memory as a whole.
"""

from mive.base.samples import Depth
from mive.media.clip import Clip
from mive.media.hashing import content_hash
from mive.media.info import ClipInfo, ColourTags, Coverage, Pixels
from mive.media.mattes import Mattes, open_mattes
from mive.media.opening import open_clip, open_writer
from mive.media.paste import inward_feather, paste, to_float
from mive.media.writer import FrameWriter

__all__ = [
    "Clip",
    "ClipInfo",
    "ColourTags",
    "Coverage",
    "Depth",
    "FrameWriter",
    "Mattes",
    "Pixels",
    "content_hash",
    "inward_feather",
    "open_clip",
    "open_mattes",
    "open_writer",
    "paste",
    "to_float",
]
