"""The training scenes on the device that trains: whole sets, random crops and close-ups of them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mive.evaluate.training.rendering import CHUNK, SIZE, open_arrays


class Scenes:
    """What has been rendered so far. On a CPU the files themselves, mapped; on a GPU a copy that grows.

    Attributes:
        images: [n, 192, 192, 3] uint8.
        ids: [n, 192, 192] uint8 matte ids, 0 the ground.
        depth: [n, 192, 192] uint8, near is large.
        words: [n, things, 3] int64, indices of colour, pattern and shape; −1 for no thing.
        ground: [n] int64, index of the ground.
        areas: [n, things] int64, pixels of each thing.
        count: how many have arrived; the rows after them are not drawn from.
    """

    def __init__(self, folder: Path, room: int, device: torch.device) -> None:
        self._files = {name: torch.from_numpy(array) for name, array in open_arrays(folder, room).items()}
        self._on = self._files
        if device.type != "cpu":
            self._on = {k: torch.zeros_like(v, device=device) for k, v in self._files.items() if k != "done"}
        self.images, self.ids, self.depth = (self._on[name] for name in ("images", "ids", "depth"))
        self.words, self.ground, self.areas = (self._on[name] for name in ("words", "ground", "areas"))
        self.room, self.device, self.count = room, device, 0

    def refresh(self, at_least: int = 1) -> int:
        """Take over what has arrived; waits until ``at_least`` scenes are there. Returns ``count``."""
        while True:
            missing = np.flatnonzero(self._files["done"].numpy() == 0)
            have = CHUNK * (int(missing[0]) if missing.size else len(self._files["done"]))
            if self._on is not self._files and have > self.count:
                for name, there in self._on.items():
                    there[self.count : have] = self._files[name][self.count : have].to(self.device)
            self.count = have
            if have >= min(at_least, self.room):
                return have
            time.sleep(0.2)


def crop(planes: Tensor, which: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """Squares [B, size, size, ...] of the planes [n, H, W, ...] of scenes ``which`` [B], at corners [B]."""
    along = torch.arange(size, device=planes.device)
    rows, columns = top[:, None] + along, left[:, None] + along
    return planes[which[:, None, None], rows[:, :, None], columns[:, None, :]]


def as_pixels(images: Tensor) -> Tensor:
    """[B, H, W, 3] uint8 → [B, 3, H, W] float32 in −1..1, channels last in memory."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def draw_index(limit: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` random indices below ``limit``, on the generator's device."""
    return torch.randint(limit, (count,), generator=generator, device=generator.device)


def uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def boxes(ids: Tensor, thing: Tensor) -> tuple[Tensor, Tensor]:
    """Bounding boxes of things (1-based ids [B]) in ids [B, H, W]: centres [B, 2] (row, column), sides [B, 2]."""
    inside = ids == thing[:, None, None].to(ids.dtype)
    spans = []
    for seen in (inside.any(2), inside.any(1)):
        first = seen.int().argmax(1)
        last = seen.shape[1] - 1 - seen.flip(1).int().argmax(1)
        spans.append(torch.stack([first, last + 1], 1).float())
    rows, columns = spans
    centre = torch.stack([rows.mean(1), columns.mean(1)], 1)
    side = torch.stack([rows[:, 1] - rows[:, 0], columns[:, 1] - columns[:, 0]], 1)
    return centre, side


def look(pixels: Tensor, centre: Tensor, side: Tensor, size: int) -> Tensor:
    """Square views [B, C, size, size] of pictures [B, C, H, W]: ``centre`` [B, 2] (row, column), ``side`` [B] pixels.

    Twice as fine as asked for and averaged, so that nothing aliases; edges repeat outside the frame.
    """
    unit = torch.tensor([2 / pixels.shape[3], 2 / pixels.shape[2]], device=pixels.device)
    scale, shift = side[:, None] * unit / 2, centre.flip(1) * unit - 1
    theta = torch.zeros(len(pixels), 2, 3, device=pixels.device)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale[:, 0], scale[:, 1], shift
    grid = F.affine_grid(theta, [len(pixels), pixels.shape[1], 2 * size, 2 * size], align_corners=False)
    fine = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return F.avg_pool2d(fine, 2)


__all__ = ["SIZE", "Scenes", "as_pixels", "boxes", "crop", "draw_index", "look", "uniform"]
