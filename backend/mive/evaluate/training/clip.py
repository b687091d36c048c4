"""Contrastive text and image towers of the tiny bundle.

Trained twice: once for the generator's text encoder (its image tower is thrown away), once, on other scenes, for the
scorer that measures edits.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from mive.evaluate.toyworld import describe, sentence, vary
from mive.evaluate.training.data import ToySet
from mive.evaluate.training.loop import Recipe, train
from mive.evaluate.training.text import LENGTH

VIEW = 64
BATCH = 192
WIDTH = 128


def network(tokenizer: CLIPTokenizer) -> CLIPModel:
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=3,
        num_attention_heads=4, max_position_embeddings=LENGTH, projection_dim=WIDTH, hidden_act="gelu",
        bos_token_id=start, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=4, num_attention_heads=4,
        image_size=VIEW, patch_size=8, projection_dim=WIDTH, hidden_act="gelu",
    )  # fmt: skip
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH))


def square_view(image: NDArray[np.uint8], box: tuple[float, float, float], size: int = VIEW) -> NDArray[np.uint8]:
    """The square (centre row, centre column, side) of an image, [size, size, 3]; edges repeat outside the frame."""
    row, column, side = box
    scale = size / side
    matrix = np.array([[scale, 0, size / 2 - column * scale], [0, scale, size / 2 - row * scale]])
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(
        cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )


class Views:
    """Draws (view, caption) pairs: mostly one object cut out by its box, sometimes a whole scene."""

    def __init__(self, data: ToySet) -> None:
        self.data = data

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], str]:
        while True:
            index = int(rng.integers(len(self.data)))
            words = self.data.words[index]
            image = np.asarray(self.data.images[index])
            things = words["things"]
            if rng.random() < 0.2:
                parts = [vary(rng, describe(*thing)) for thing in things]
                side = image.shape[0]
                return square_view(image, (side / 2, side / 2, side)), sentence(parts, words["ground"])
            which = int(rng.integers(len(things)))
            ys, xs = np.nonzero(np.asarray(self.data.ids[index]) == which + 1)
            if len(ys) < 150:
                continue
            side = max(np.ptp(ys), np.ptp(xs)) * rng.uniform(0.9, 1.5)
            centre = ((ys.min() + ys.max()) / 2, (xs.min() + xs.max()) / 2)
            jitter = rng.normal(0, 0.05, 2) * side
            ground = words["ground"] if rng.random() < 0.15 else None
            caption = sentence([vary(rng, describe(*things[which]))], ground)
            return square_view(image, (centre[0] + jitter[0], centre[1] + jitter[1], side)), caption


def as_pixels(views: list[NDArray[np.uint8]], rng: np.random.Generator) -> Tensor:
    """[n, 3, 64, 64] in -1..1, mirrored, brightened and blurred at random so that decoded pictures score like real."""
    drawn = []
    for view in views:
        if rng.random() < 0.5:
            view = view[:, ::-1]
        if rng.random() < 0.5:
            view = np.asarray(cv2.GaussianBlur(view, (0, 0), rng.uniform(0.3, 1.4)), np.uint8)
        drawn.append(view)
    pixels = np.stack(drawn).astype(np.float32) / 127.5 - 1
    gain = rng.uniform(0.85, 1.15, (len(drawn), 1, 1, 1)).astype(np.float32)
    return torch.from_numpy(np.clip(pixels * gain, -1, 1)).permute(0, 3, 1, 2)


def start_token_overlap(hidden: Tensor) -> Tensor:
    """How much the start token's state points along the others', over [B, L, d]; 0 is a direction of its own.

    The generator's cross-attention can then send probability to the start token whatever the caption says, as it does
    in Stable Diffusion.
    """
    unit = F.normalize(hidden, dim=-1)
    return (unit[:, :1] * unit[:, 1:]).sum(-1).clamp(min=-0.2).mean()


def train_clip(name: str, data: ToySet, tokenizer: CLIPTokenizer, work: Path, minutes: float) -> CLIPModel:
    """Train one pair of towers; equal captions within a batch count as positives of each other."""
    torch.manual_seed(len(name))
    model, views = network(tokenizer), Views(data)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        drawn = [views.draw(rng) for _ in range(BATCH)]
        captions = [caption for _, caption in drawn]
        tokens = tokenizer(captions, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
        ids = tokens["input_ids"][:, :32]
        with torch.autocast("cpu", torch.bfloat16):
            text = model.text_model(input_ids=ids)
            words = model.text_projection(text.pooler_output)
            seen = model.vision_model(pixel_values=as_pixels([view for view, _ in drawn], rng)).pooler_output
            pictures = model.visual_projection(seen)
        words, pictures = F.normalize(words.float(), dim=-1), F.normalize(pictures.float(), dim=-1)
        logits = model.logit_scale.exp().clamp(max=100) * pictures @ words.T
        same = torch.tensor([[a == b for b in captions] for a in captions], dtype=torch.float32)
        target = same / same.sum(1, keepdim=True)
        contrast = 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
        hits = same[torch.arange(BATCH), logits.argmax(1)].mean().item()
        overlap = start_token_overlap(text.last_hidden_state.float())
        return contrast + 0.3 * overlap, {"hits": hits, "overlap": overlap.item()}

    recipe = Recipe(name, 100_000, 1e-3, weight_decay=0.05, ema=0.99, seed=len(name), minutes=minutes, every=50)
    model = train(model, loss, recipe, work)
    return model
