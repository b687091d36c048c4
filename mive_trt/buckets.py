"""Which program runs a batch: its shapes are fixed, and batches come in all sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from mive.method.sampling import INVERTED_TOGETHER
from mive_trt.executor import Kind

DECODED: Final = 4
"""Frames that one run of the VAE decoder makes."""

ITEMS: Final = (1, 2, 4, 8, 16)
"""Batch sizes that programs are made for. Few, because each holds all of the weights; a batch in between is padded."""


class Bucket(NamedTuple):
    """The fixed sizes of a program: B items of N frames with latents of height × width."""

    items: int
    frames: int
    height: int
    width: int


class Part(NamedTuple):
    """Items ``first`` to ``last`` (excluded) of a batch, run by a program for ``size`` items."""

    first: int
    last: int
    size: int

    @property
    def padding(self) -> int:
        """Items besides, whose results are dropped."""
        return self.size - (self.last - self.first)


def parts(items: int) -> Iterator[Part]:
    """Cut a batch into parts that programs are made for.

    A batch goes whole into the smallest size that holds it; one that is larger than all fills the largest until the
    rest fits. The choice hangs on the batch alone and never on what is built, so that frames can be made again.

    Args:
        items: B, at least 1.
    """
    first = 0
    while items - first > ITEMS[-1]:
        yield Part(first, first + ITEMS[-1], ITEMS[-1])
        first += ITEMS[-1]
    yield Part(first, items, next(size for size in ITEMS if size >= items - first))


def edit_buckets(frames: int, together: int, height: int, width: int) -> dict[Kind, list[Bucket]]:
    """Every program that edits of one window's size run, as `mive.method.sampling` calls them.

    Inversion looks at each frame by itself, some at a time. Sampling looks at all frames together: once for what all
    instances share, once for ``together`` instances, once for these with and without captions.

    Args:
        frames: N of a window.
        together: the setting ``instances_per_forward``.
    """
    singles = {part.size for part in parts(min(frames, INVERTED_TOGETHER))}
    if frames > INVERTED_TOGETHER and frames % INVERTED_TOGETHER:
        singles |= {part.size for part in parts(frames % INVERTED_TOGETHER)}
    whole = {part.size for items in {1, together, 2 * together} for part in parts(items)}
    inflated = [Bucket(items, frames, height, width) for items in sorted(whole)]
    apart = [Bucket(items, 1, height, width) for items in sorted(singles)]
    return {
        "unet": list(dict.fromkeys([*inflated, *apart])),
        "controlnet": inflated,
        "vae_decoder": [Bucket(DECODED, 1, height, width)],
    }
