"""The parts of training that must not go wrong unnoticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer

from mive.evaluate.toyworld import COLOURS, GROUNDS, PATTERNS, SHAPES, WORDS, describe, sentence
from mive.evaluate.training.clip import pairs
from mive.evaluate.training.denoiser import Generator, unet
from mive.evaluate.training.loop import Recipe, train
from mive.evaluate.training.rendering import (
    GENERATOR_SEEDS,
    HELD_OUT_SEEDS,
    SCORER_SEEDS,
    open_arrays,
    render,
    rendering,
)
from mive.evaluate.training.scenes import Scenes, boxes, crop, look
from mive.evaluate.training.sink import Sink, make_start_token_a_sink
from mive.evaluate.training.text import LENGTH, write_tokenizer
from mive.evaluate.training.vae import network, normalise_latents
from mive.evaluate.training.weights import Average, Weights
from mive.evaluate.training.words import Words, shuffled

CPU = torch.device("cpu")
ROOM = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty-two rendered scenes."""
    folder = tmp_path_factory.mktemp("scenes")
    render(folder, 7, ROOM, workers=1)
    return folder


@pytest.fixture(scope="module")
def scenes(folder: Path) -> Scenes:
    scenes = Scenes(folder, ROOM, CPU)
    assert scenes.refresh() == ROOM
    return scenes


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def read(tokenizer: CLIPTokenizer, ids: Tensor) -> str:
    """The caption that token ids spell."""
    shown = [int(i) for i in ids if int(i) not in (tokenizer.bos_token_id, tokenizer.eos_token_id)]
    return str(tokenizer.decode(shown)).strip()


def test_every_word_is_one_token_and_unknown_words_still_encode(tokenizer: CLIPTokenizer) -> None:
    for word in WORDS:
        assert len(tokenizer(word)["input_ids"]) == 3, word
    assert len(tokenizer("a zebra, 12!")["input_ids"]) > 5
    padded = tokenizer("a red ball", padding="max_length", max_length=LENGTH)["input_ids"]
    assert padded[4:] == [tokenizer.eos_token_id] * (LENGTH - 4)


def test_the_sets_do_not_overlap() -> None:
    assert GENERATOR_SEEDS + 10**6 < SCORER_SEEDS < SCORER_SEEDS + 10**6 < HELD_OUT_SEEDS


def test_scenes_are_the_same_for_the_same_seeds_however_they_were_rendered(folder: Path, tmp_path: Path) -> None:
    with rendering(tmp_path, 7, ROOM, workers=2):
        assert Scenes(tmp_path, ROOM, CPU).refresh(at_least=ROOM) == ROOM
    first, second = open_arrays(folder, ROOM), open_arrays(tmp_path, ROOM)
    for name, array in first.items():
        assert np.array_equal(array, second[name]), name
    things = (first["words"][..., 0] >= 0).sum(1)
    assert np.all(first["ids"].max((1, 2)) <= things)
    assert np.array_equal(first["areas"].sum(1), (first["ids"] > 0).sum((1, 2)))


def test_what_is_rendered_is_not_rendered_again(folder: Path) -> None:
    arrays = open_arrays(folder, ROOM)
    kept = arrays["images"][3].copy()
    arrays["images"][3] = 0
    render(folder, 7, ROOM, workers=1)
    assert not arrays["images"][3].any()
    arrays["images"][3] = kept


def test_a_crop_is_the_square_at_its_corner(scenes: Scenes) -> None:
    which, top, left = torch.tensor([2, 5]), torch.tensor([10, 0]), torch.tensor([7, 128])
    got = crop(scenes.images, which, top, left, 64)
    assert torch.equal(got[0], scenes.images[2, 10:74, 7:71])
    assert torch.equal(got[1], scenes.images[5, 0:64, 128:192])


def test_a_box_bounds_its_thing_and_a_view_shows_the_box() -> None:
    ids = torch.zeros(1, 192, 192, dtype=torch.uint8)
    ids[0, 40:60, 100:140] = 3
    centre, side = boxes(ids, torch.tensor([3]))
    assert centre.tolist() == [[50, 120]]
    assert side.tolist() == [[20, 40]]
    seen = look((ids == 3).float()[:, None], centre, torch.tensor([40.0]), 64)[0, 0]
    assert seen[18:46, 2:-2].min() == 1
    assert seen[:14].max() == 0
    assert seen[50:].max() == 0


def test_captions_name_what_they_should(tokenizer: CLIPTokenizer) -> None:
    words = Words(tokenizer, CPU)
    colours, patterns, shapes = list(COLOURS), list(PATTERNS), list(SHAPES)
    indices = torch.tensor([[1, 0, 0], [5, 1, 4], [0, 3, 9]]).expand(400, -1, -1)
    named = torch.tensor([True, False, True]).expand(400, -1).clone()
    named[::8] = False
    ground, on_ground = torch.full((400,), 2), torch.arange(400) % 2 == 0
    drawn = words.captions(indices, named, ground, on_ground, torch.Generator().manual_seed(1))
    assert drawn.shape == (400, LENGTH)
    texts = [read(tokenizer, ids) for ids in drawn]
    first, last = (describe(colours[i[0]], patterns[i[1]], shapes[i[2]]) for i in indices[0, ::2].tolist())
    assert sentence([first, last], list(GROUNDS)[2]) in texts
    assert sentence([first, last]) in texts
    assert not any("blue" in text for text in texts)
    assert all(text == "" for text in texts[::8])
    varied = sum(text.startswith("the ") for text in texts) / 350
    assert 0.02 < varied < 0.15
    for text, ids in zip(texts, drawn, strict=True):
        again = tokenizer(text, padding="max_length", max_length=LENGTH)["input_ids"]
        assert again == ids.tolist(), text


def test_a_random_few_of_what_is_there_are_meant() -> None:
    words = torch.arange(4)[None, :, None].expand(300, -1, 3)
    there = torch.tensor([True, False, True, True]).expand(300, -1)
    got, meant = shuffled(words, there, torch.full((300,), 2), torch.Generator().manual_seed(0))
    assert meant.sum(1).unique().tolist() == [2]
    assert set(got[..., 0][meant].tolist()) == {0, 2, 3}
    assert all(len(set(row[m].tolist())) == 2 for row, m in zip(got[..., 0], meant, strict=True))


def test_pairs_show_what_their_caption_names(scenes: Scenes, tokenizer: CLIPTokenizer) -> None:
    words = Words(tokenizer, CPU)
    views, captions = pairs(scenes, words, 48, torch.Generator().manual_seed(2))
    assert views.shape == (48, 3, 64, 64)
    assert views.abs().max() <= 1
    known = {tuple(row[:2]) for row in scenes.words.flatten(0, 1).tolist()}
    said = [read(tokenizer, ids) for ids in captions]
    alone = [text for text in said if " and " not in text]
    assert len(alone) > 24
    for text in alone:
        colour = next(i for i, c in enumerate(COLOURS) if c in text.split())
        pattern = next((i for i, p in enumerate(PATTERNS) if p in text.split()), 0)
        assert (colour, pattern) in known, text


def test_training_resumes_where_it_was_stopped(tmp_path: Path) -> None:
    def model() -> nn.Module:
        torch.manual_seed(0)
        return nn.Linear(4, 4)

    def fit(net: nn.Module, steps: int, work: Path) -> Tensor:
        def draw(step: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
            if step == steps:
                raise KeyboardInterrupt
            return (torch.randn(8, 4, generator=generator).to(net.weight.dtype),)

        def loss(x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            return (net(x) - x.flip(-1)).square().mean().float(), {}

        recipe = Recipe("linear", 40, 1e-2, warm_up=5, every=10)
        if steps < 40:
            with pytest.raises(KeyboardInterrupt):
                train(net, draw, loss, recipe, work)
        else:
            train(net, draw, loss, recipe, work)
        return torch.cat([p.flatten() for p in net.parameters()])

    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = fit(model(), 40, tmp_path / "whole")
    fit(model(), 20, tmp_path / "parts")
    assert torch.equal(whole, fit(model(), 40, tmp_path / "parts"))


def test_masters_keep_what_bfloat16_cannot() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.ones_(module.weight)
    weights = Weights(module, torch.bfloat16)
    average = Average(weights, 0.5)
    assert module.weight.dtype == torch.bfloat16
    for step in range(64):
        weights.forget_gradients()
        module(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
        weights.take_gradients()
        with torch.no_grad():
            weights.masters[0] -= 1e-3 * weights.masters[0].grad
        weights.give()
        average.update(step)
    assert weights.state()["weight"].item() == pytest.approx(1 - 64e-3, abs=1e-4)
    assert module.weight.item() == pytest.approx(1 - 64e-3, abs=4e-3)
    assert average.state()["weight"].item() == pytest.approx(1 - 63e-3, abs=2e-3)


def test_averaged_weights_are_kept_with_every_checkpoint_and_left_in_the_module(tmp_path: Path) -> None:
    net, kept = nn.Linear(4, 4), list[dict[str, Tensor]]()

    def draw(step: int, progress: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.randn(8, 4, generator=generator).to(net.weight.dtype),)

    def loss(x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return (net(x) - x.flip(-1)).square().mean().float(), {}

    recipe = Recipe("linear", 20, 1e-2, warm_up=5, save_every=0)
    train(net, draw, loss, recipe, tmp_path, lambda average: kept.append({k: v.clone() for k, v in average.items()}))
    assert len(kept) == 21
    assert net.weight.dtype == torch.float32
    assert torch.equal(net.weight, kept[-1]["weight"])
    assert not torch.equal(kept[0]["weight"], kept[-1]["weight"])


def test_the_start_token_begins_as_a_sink_and_its_mass_is_what_the_network_computes() -> None:
    torch.manual_seed(0)
    network = unet().eval()
    states = torch.randn(3, 77, 128)
    states[:, 0] = states[0, 0]
    make_start_token_a_sink(network, states, 0.75)
    z, t = torch.randn(1, 16, 16, 16), torch.tensor(500)
    measured: list[float] = []

    def measure(attention: Any, inputs: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]) -> None:
        q, k = attention.to_q(inputs[0]), attention.to_k(named["encoder_hidden_states"])
        rows = attention.get_attention_scores(*map(attention.head_to_batch_dim, (q, k)))
        measured.append(float(rows[..., 0].mean()))

    for name, module in network.named_modules():
        if name.endswith("attn2"):
            module.register_forward_pre_hook(measure, with_kwargs=True)
    sink = Sink(network, 0.9)
    with torch.no_grad():
        network(z, t, states[:1])
    penalty, mass = sink.read()
    sink.remove()
    assert len(measured) > 5
    assert 0.6 < np.mean(measured) < 0.9
    assert mass.item() == pytest.approx(np.mean(measured), abs=0.03)
    assert 0 < penalty < 0.1


def test_items_without_a_hint_are_the_unets_alone() -> None:
    torch.manual_seed(0)
    model = Generator().eval()
    z, t, text = torch.randn(3, 16, 8, 8), torch.tensor([10, 500, 900]), torch.randn(3, 77, 128)
    hint = torch.rand(2, 3, 64, 64)
    for convolution in (*model.control.controlnet_down_blocks, model.control.controlnet_mid_block):
        nn.init.normal_(convolution.weight, std=0.1)
    with torch.no_grad():
        both, free = model(z, t, text, hint), model.unet(z, t, text).sample
    assert torch.allclose(both[2], free[2], atol=1e-5)
    assert (both[:2] - free[:2]).abs().max() > 1e-4


def test_latents_are_normalised_without_changing_what_they_decode_to() -> None:
    torch.manual_seed(0)
    vae, images = network().eval(), torch.rand(4, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = vae.decode(vae.encode(images).latent_dist.mean).sample
        normalise_latents(vae, images)
        latents = vae.encode(images).latent_dist.mean
        after = vae.decode(latents).sample
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(16), atol=1e-4)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(16), atol=1e-3)
    assert torch.allclose(before, after, atol=1e-3)
