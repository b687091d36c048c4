"""Contrastive text and image towers of the tiny bundle.

Trained twice: once for the generator's text encoder (its image tower is thrown away), once, on other scenes, for the
scorer that measures edits.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from mive.evaluate.training.loop import Recipe, train
from mive.evaluate.training.precision import training_dtype
from mive.evaluate.training.rendering import THINGS
from mive.evaluate.training.scenes import SIZE, Scenes, as_pixels, boxes, draw_index, look, uniform
from mive.evaluate.training.text import LENGTH
from mive.evaluate.training.words import Words, shuffled

VIEW = 64
WIDTH = 128
SAID = 64
"""Tokens of a caption that training looks at; none of its captions is longer."""

LEAST_AREA = 120
"""Things of fewer pixels are not shown alone."""


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


def pairs(scenes: Scenes, words: Words, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Views [count, 3, 64, 64] in −1..1 and captions [count, 77]: most show one thing by its box, some a whole scene.

    Half of the boxes are exact and their shorter side is padded with grey, as scores cut them out; the others are
    loose squares.
    """
    device = scenes.device
    which = draw_index(scenes.count, count, generator)
    pixels, ids, areas = as_pixels(scenes.images[which]), scenes.ids[which], scenes.areas[which]
    there = areas >= LEAST_AREA
    words_of, meant = shuffled(scenes.words[which], scenes.words[which][..., 0] >= 0, areas.new_full((count,), THINGS),
                               generator)  # fmt: skip
    alone = (uniform(generator, count) >= 0.2) & there.any(1)
    thing = torch.where(there, uniform(generator, *there.shape), -1.0).argmax(1)
    centre, sides = boxes(ids, thing + 1)
    tight = uniform(generator, count) < 0.5
    longest = sides.amax(1)
    jitter = 0.05 * torch.randn(count, 2, generator=generator, device=device) * longest[:, None]
    loose = longest * (0.9 + 0.6 * uniform(generator, count))
    side = torch.where(alone, torch.where(tight, longest, loose), float(SIZE))
    middle = torch.where(tight[:, None], centre, centre + jitter)
    middle = torch.where(alone[:, None], middle, SIZE / 2)
    views = look(pixels, middle, side, VIEW)
    along = (torch.arange(VIEW, device=device) + 0.5) / VIEW - 0.5
    share = (sides / longest[:, None].clamp(min=1) / 2)[:, :, None]
    outside = (along.abs() > share[:, 0])[:, :, None] | (along.abs() > share[:, 1])[:, None, :]
    views = torch.where((outside & (alone & tight)[:, None, None])[:, None], 128 / 127.5 - 1, views)
    only = scenes.words[which, thing][:, None]
    first = torch.zeros(THINGS, dtype=torch.bool, device=device)
    first[0] = True
    named = torch.where(alone[:, None], first, meant)
    shown = torch.where(alone[:, None, None], only, words_of)
    on_ground = ~alone | (uniform(generator, count) < 0.15)
    return views, words.captions(shown, named, scenes.ground[which], on_ground, generator)


def disturbed(views: Tensor, generator: torch.Generator) -> Tensor:
    """Blurred and brightened at random, so that decoded pictures score like real ones."""
    count = len(views)
    small = F.interpolate(F.avg_pool2d(views, 2), scale_factor=2.0, mode="bilinear")
    softness = uniform(generator, count, 1, 1, 1) * (uniform(generator, count, 1, 1, 1) < 0.5)
    gain = 0.85 + 0.3 * uniform(generator, count, 1, 1, 1)
    return (views.lerp(small, softness) * gain).clamp(-1, 1)


def start_token_overlap(hidden: Tensor) -> Tensor:
    """How much the start token's state points along the others', over [B, L, d]; 0 is a direction of its own.

    The generator's cross-attention can then send probability to the start token whatever the caption says, as it does
    in Stable Diffusion.
    """
    unit = F.normalize(hidden, dim=-1)
    return (unit[:, :1] * unit[:, 1:]).sum(-1).clamp(min=-0.2).mean()


def train_clip(
    name: str, scenes: Scenes, tokenizer: CLIPTokenizer, work: Path, seconds: float, batch: int
) -> CLIPModel:
    """Train one pair of towers; equal captions within a batch count as positives of each other."""
    torch.manual_seed(len(name))
    words = Words(tokenizer, scenes.device)
    model, dtype = network(tokenizer).to(scenes.device), training_dtype(scenes.device)

    def draw(step: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        if step % 20 == 0:
            scenes.refresh()
        views, captions = pairs(scenes, words, batch, generator)
        return disturbed(views, generator).to(dtype), captions[:, :SAID]

    def loss(views: Tensor, ids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        text = model.text_model(input_ids=ids)
        said = model.text_projection(text.pooler_output)
        shown = model.visual_projection(model.vision_model(pixel_values=views).pooler_output)
        said, shown = F.normalize(said.float(), dim=-1), F.normalize(shown.float(), dim=-1)
        logits = model.logit_scale.float().exp().clamp(max=100) * shown @ said.T
        same = (ids[:, None] == ids[None]).all(-1).float()
        target = same / same.sum(1, keepdim=True)
        contrast = 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
        hits = same.gather(1, logits.argmax(1, keepdim=True)).mean()
        overlap = start_token_overlap(text.last_hidden_state.float())
        return contrast + 0.3 * overlap, {"hits": hits, "overlap": overlap}

    recipe = Recipe(name, 1_000_000, 1e-3, seconds, weight_decay=0.05, ema=0.99, seed=len(name), every=50)
    train(model, draw, loss, recipe, work)
    return model
