"""What the scores ask of a CLIP model: unit vectors for pictures and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mive.errors import EngineError
from mive.media.info import Pixels

Vectors = npt.NDArray[np.float32]
"""Unit vectors along the last axis, ``[..., d]``; their dot product is the cosine similarity."""


class Embedder(Protocol):
    """Turns pictures and texts into unit vectors of one space."""

    def images(self, images: Sequence[Pixels]) -> Vectors:
        """``[n, d]`` for n pictures ``[H, W, 3]`` uint8 of any sizes."""

    def texts(self, texts: Sequence[str]) -> Vectors:
        """``[n, d]`` for n texts."""

    def too_long(self, text: str) -> bool:
        """Whether the model reads only the beginning of ``text``."""


def require_finite(vectors: Vectors, what: str) -> Vectors:
    """The vectors themselves, if all are finite.

    Raises:
        EngineError: one is not; ``what`` names them in the message.
    """
    if not np.isfinite(vectors).all():
        raise EngineError(
            f"The CLIP model's embeddings of {what} are not finite",
            expected="finite numbers",
            fix="Score with precision fp32, or check the weights in the bundle's clip folder",
        )
    return vectors
