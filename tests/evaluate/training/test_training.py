"""The parts of training that must not go wrong unnoticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mive.evaluate.toyworld import WORDS
from mive.evaluate.training.data import GENERATOR_SEEDS, HELD_OUT_SEEDS, SCORER_SEEDS, build, load
from mive.evaluate.training.denoiser import Generator, caption_for, make_start_token_a_sink
from mive.evaluate.training.loop import Recipe, train
from mive.evaluate.training.text import LENGTH, write_tokenizer


def test_every_word_is_one_token_and_unknown_words_still_encode(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path)
    for word in WORDS:
        assert len(tokenizer(word)["input_ids"]) == 3, word
    assert len(tokenizer("a zebra, 12!")["input_ids"]) > 5
    padded = tokenizer("a red ball", padding="max_length", max_length=LENGTH)["input_ids"]
    assert padded[4:] == [tokenizer.eos_token_id] * (LENGTH - 4)


def test_the_sets_do_not_overlap_and_repeat(tmp_path: Path) -> None:
    assert GENERATOR_SEEDS + 10**6 < SCORER_SEEDS < SCORER_SEEDS + 10**6 < HELD_OUT_SEEDS
    build(tmp_path / "a", 7, 3, workers=1)
    build(tmp_path / "b", 7, 3, workers=2)
    first, second = load(tmp_path / "a"), load(tmp_path / "b")
    assert len(first) == 3
    assert first.words == second.words
    assert np.array_equal(first.images, second.images)
    for ids, words in zip(first.ids, first.words, strict=True):
        assert ids.max() <= len(words["things"])


def test_training_resumes_where_it_was_stopped(tmp_path: Path) -> None:
    def model() -> nn.Module:
        torch.manual_seed(0)
        return nn.Linear(4, 4)

    def fit(net: nn.Module, steps: int, work: Path) -> Tensor:
        def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
            x = torch.randn(8, 4, generator=generator)
            return (net(x) - x.flip(-1)).square().mean(), {}

        recipe = Recipe("linear", 40, 1e-2, warm_up=5, every=10)
        if steps < 40:
            with pytest.raises(KeyboardInterrupt):
                train(net, lambda s, g: loss(s, g) if s < steps else _stop(), recipe, work)
        else:
            train(net, loss, recipe, work)
        return torch.cat([p.flatten() for p in net.parameters()])

    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = fit(model(), 40, tmp_path / "whole")
    fit(model(), 20, tmp_path / "parts")
    assert torch.equal(whole, fit(model(), 40, tmp_path / "parts"))


def _stop() -> tuple[Tensor, dict[str, float]]:
    raise KeyboardInterrupt


def test_captions_name_parts_of_a_scene() -> None:
    things = [["red", "plain", "ball"], ["blue", "striped", "cube"], ["green", "dotted", "cup"]]
    captions = [caption_for(np.random.default_rng(i), things, [0, 2], "grass") for i in range(400)]
    assert not any("cube" in caption for caption in captions)
    assert 0.05 < sum(caption == "" for caption in captions) / 400 < 0.25
    assert any("ball" in c and "cup" in c for c in captions)
    assert any("grass" in c for c in captions)


def test_the_start_token_begins_as_a_sink() -> None:
    from mive.networks.unet.frames import FrameInputs
    from mive.networks.unet.inflation import inflate, measure_start_token

    torch.manual_seed(0)
    unet = Generator().unet.eval()
    states = torch.randn(3, 77, 128)
    states[:, 0] = states[0, 0]
    make_start_token_a_sink(unet, states, 0.75)
    context = inflate(unet)
    z, t = torch.randn(1, 8, 16, 16), torch.tensor(500)
    with torch.no_grad():
        measured = measure_start_token(context, FrameInputs(), lambda: unet(z, t, states[:1]))
    assert len(measured) > 5
    assert 0.6 < np.mean([layer.mean for layer in measured]) < 0.9
