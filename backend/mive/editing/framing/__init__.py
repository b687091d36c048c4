"""What the model sees of a shot: its views, what they leave out, and the way back. Nothing here needs torch."""

from mive.editing.framing.extents import Extents, measure
from mive.editing.framing.geometry import Finish, Picture, paste_views, to_clip, to_model
from mive.editing.framing.losses import Loss, find_losses
from mive.editing.framing.shot import frame_shot
from mive.editing.framing.values import Box, FramedWindow, Framing, FramingRule, View

__all__ = [
    "Box",
    "Extents",
    "Finish",
    "FramedWindow",
    "Framing",
    "FramingRule",
    "Loss",
    "Picture",
    "View",
    "find_losses",
    "frame_shot",
    "measure",
    "paste_views",
    "to_clip",
    "to_model",
]
