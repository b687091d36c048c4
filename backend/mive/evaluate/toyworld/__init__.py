"""A procedural world of shaded solids with exact mattes, depth and flow: training data, demo and test clips."""

from mive.evaluate.toyworld.captions import WORDS, describe, sentence, vary
from mive.evaluate.toyworld.scene import Frame, Renderer, Scene, Thing, edited_scene, enlarged, random_scene, repainted
from mive.evaluate.toyworld.shapes import SHAPES
from mive.evaluate.toyworld.surfaces import COLOURS, GROUNDS, PATTERNS

__all__ = [
    "COLOURS", "GROUNDS", "PATTERNS", "SHAPES", "WORDS",
    "Frame", "Renderer", "Scene", "Thing",
    "describe", "edited_scene", "enlarged", "random_scene", "repainted", "sentence", "vary",
]  # fmt: skip
