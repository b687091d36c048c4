"""What the trained parts can do, on scenes that none of them was trained on."""

from __future__ import annotations

from itertools import product
from statistics import fmean

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer, DPTForDepthEstimation

from mive.evaluate.toyworld import COLOURS, PATTERNS, SHAPES, describe
from mive.evaluate.training.clip import VIEW
from mive.evaluate.training.denoiser import Generator, Latents, draw, noised, weighted_error
from mive.evaluate.training.precision import mixed
from mive.evaluate.training.scenes import Scenes, as_pixels, boxes, look
from mive.evaluate.training.sink import Sink
from mive.evaluate.training.vae import psnr
from mive.evaluate.training.words import Words

BATCH = 32


@torch.no_grad()
def vae_figures(vae: AutoencoderKL, scenes: Scenes) -> dict[str, float]:
    """PSNR in dB of a round trip: all of the picture, and things alone (mean over scenes)."""
    whole, things = list[Tensor](), list[Tensor]()
    for first in range(0, scenes.count, BATCH):
        pixels = as_pixels(scenes.images[first : first + BATCH])
        with mixed(scenes.device):
            rebuilt = vae.decode(vae.encode(pixels).latent_dist.mean).sample.float().clamp(-1, 1)
        for got, wanted, ids in zip(rebuilt, pixels, scenes.ids[first:], strict=False):
            whole.append(psnr(got[None], wanted[None]))
            things.append(psnr(got[None], wanted[None], (ids > 0)[None, None]))
    return {"vae": torch.stack(whole).mean().item(), "vae in things": torch.stack(things).mean().item()}


@torch.no_grad()
def depth_figures(model: DPTForDepthEstimation, scenes: Scenes) -> dict[str, float]:
    """Mean absolute error of depths 0..1."""
    errors = []
    for first in range(0, scenes.count, BATCH):
        rows = slice(first, min(first + BATCH, scenes.count))
        with mixed(scenes.device):
            got = model(pixel_values=as_pixels(scenes.images[rows])).predicted_depth.float()
        wanted = scenes.depth[rows].float() / 255
        got = F.interpolate(got[:, None], wanted.shape[-2:], mode="bilinear")[:, 0]
        errors.append(F.l1_loss(got, wanted).item())
    return {"depth": fmean(errors)}


@torch.no_grad()
def scorer_figures(model: CLIPModel, tokenizer: CLIPTokenizer, scenes: Scenes) -> dict[str, float]:
    """Shares of things whose colour, pattern and shape are named rightly, of all 400 captions."""
    device = scenes.device
    captions = [describe(c, p, s) for c, p, s in product(COLOURS, PATTERNS, SHAPES)]
    meanings = torch.tensor(list(product(range(len(COLOURS)), range(len(PATTERNS)), range(len(SHAPES)))), device=device)
    ids = tokenizer(captions, padding="max_length", return_tensors="pt")["input_ids"].to(device)
    said = F.normalize(model.text_projection(model.text_model(input_ids=ids).pooler_output).float(), dim=-1)
    right = []
    for thing in range(scenes.areas.shape[1]):
        which = torch.nonzero(scenes.areas[: scenes.count, thing] >= 200)[:, 0]
        if not len(which):
            continue
        full = torch.full_like(which, thing + 1)
        centre, side = boxes(scenes.ids[which], full)
        views = look(as_pixels(scenes.images[which]), centre, side.amax(1), VIEW)
        seen = F.normalize(
            model.visual_projection(model.vision_model(pixel_values=views).pooler_output).float(), dim=-1
        )
        right.append(meanings[(seen @ said.T).argmax(1)] == scenes.words[which, thing])
    shares = torch.cat(right).float().mean(0).tolist()
    return dict(zip(("colour", "pattern", "shape"), shares, strict=True))


@torch.no_grad()
def generator_figures(
    model: Generator, latents: Latents, tokenizer: CLIPTokenizer, text: CLIPTextModel, batch: int, repeats: int
) -> dict[str, float]:
    """Loss on whole scenes and on crops, with and without control, and the start token's mean mass."""
    device = latents.scenes.device
    words, sink, masses = Words(tokenizer, device), Sink(model.unet, 0), []
    generator = torch.Generator(device).manual_seed(99)
    latents.refresh(latents.scenes.count)
    figures = {}
    for cells, controlled in ((24, True), (16, True), (16, False)):
        losses = []
        for _ in range(repeats):
            drawn = draw(latents, words, batch, cells, generator)
            noisy, velocity, t = noised(drawn.z, generator)
            hint = drawn.hint if controlled else drawn.hint[:0]
            with mixed(device):
                states = text(drawn.captions).last_hidden_state
                losses.append(weighted_error(model, noisy, t, states, hint, velocity, drawn.weight).item())
            masses.append(sink.read()[1].item())
        figures[f"loss {cells}{' controlled' if controlled else ''}"] = fmean(losses)
    sink.remove()
    return {**figures, "start token": fmean(masses)}
