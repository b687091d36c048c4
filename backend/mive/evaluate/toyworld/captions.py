"""The words of the toy world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from mive.evaluate.toyworld.shapes import SHAPES
from mive.evaluate.toyworld.surfaces import COLOURS, GROUNDS, PATTERNS

WORDS: Final = tuple(
    dict.fromkeys(
        [
            "a",
            "the",
            "one",
            "and",
            "on",
            "with",
            "of",
            "in",
            "photo",
            "an",
            *COLOURS,
            *PATTERNS,
            *SHAPES,
            *GROUNDS,
        ]
    )
)
"""Every word a caption can hold; the tiny tokenizer has one token for each."""


def describe(colour: str, pattern: str, shape: str) -> str:
    """``a red striped ball``; a plain pattern goes without saying."""
    article = "an" if colour[0] in "aeiou" else "a"
    middle = "" if pattern == "plain" else f"{pattern} "
    return f"{article} {colour} {middle}{shape}"


def sentence(parts: Sequence[str], ground: str | None = None) -> str:
    """Several descriptions as one caption, ``a red ball and a blue cube on grass``."""
    text = " and ".join(parts)
    return f"{text} on {ground}" if ground and text else text


def vary(rng: np.random.Generator, description: str) -> str:
    """The same description as another person would type it: other articles, words left out."""
    words = description.split()
    if rng.random() < 0.15:
        words[0] = str(rng.choice(["the", "one"]))
    elif rng.random() < 0.1:
        words = words[1:]
    return " ".join(words)
