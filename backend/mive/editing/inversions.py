"""A folder of inversions, kept between edits: the same source with new captions is not inverted again."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from mive.base.atomic import file_aside

DEFAULT_LIMIT = 8 * 2**30
"""Bytes; the least recently used inversions go first."""

_CLEAN = "clean"


def inversion_key(frames: NDArray[np.float32], **facts: object) -> str:
    """The name of an inversion: hash of the frames at model size and of all that shapes it (model, grids, dtype)."""
    digest = hashlib.sha256(np.ascontiguousarray(frames).data)
    for name in sorted(facts):
        digest.update(f"{name}={facts[name]!r};".encode())
    return digest.hexdigest()


class InversionCache:
    """Inverted latents by key, as safetensors files.

    A cache that cannot be read or written is never an error: the inversion is computed again.

    Args:
        folder: made when first needed; None keeps nothing.
        limit: bytes to keep at most.
    """

    def __init__(self, folder: Path | None, limit: int = DEFAULT_LIMIT) -> None:
        self.folder = folder
        self.limit = limit

    def load(self, key: str) -> dict[int | None, Tensor] | None:
        """z̃ by train timestep (None: z_0), or None where it is not kept."""
        if self.folder is None:
            return None
        path = self.folder / f"{key}.safetensors"
        try:
            stored = load_file(path)
            os.utime(path)
            return {None if name == _CLEAN else int(name): tensor for name, tensor in stored.items()}
        # Another version may have given its tensors other names.
        except (OSError, ValueError, safetensors.SafetensorError):
            return None

    def save(self, key: str, inverted: Mapping[int | None, Tensor]) -> None:
        """Keep an inversion; the file appears whole or not at all."""
        if self.folder is None:
            return
        tensors = {_CLEAN if t is None else str(t): z.contiguous() for t, z in inverted.items()}
        with contextlib.suppress(OSError, safetensors.SafetensorError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with file_aside(self.folder / f"{key}.safetensors", durable=False) as aside:
                save_file(tensors, aside)
            self._prune()

    def _prune(self) -> None:
        assert self.folder is not None
        files = [(path, path.stat()) for path in self.folder.glob("*.safetensors")]
        total = sum(stat.st_size for _, stat in files)
        for path, stat in sorted(files, key=lambda item: item[1].st_mtime):
            if total <= self.limit:
                return
            path.unlink(missing_ok=True)
            total -= stat.st_size
