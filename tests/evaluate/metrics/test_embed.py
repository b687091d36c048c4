"""ClipEmbedder against transformers' own pipeline, on a small CLIP with random weights."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from mive.errors import BundleError, EngineError
from mive.evaluate.metrics import embed
from mive.evaluate.metrics.embed import ClipEmbedder
from mive.evaluate.metrics.preprocess import Preprocess

SIZE = 32
CONFIG = {
    "size": {"shortest_edge": SIZE},
    "crop_size": {"height": SIZE, "width": SIZE},
    "resample": 3,
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], pad_token="<|endoftext|>", model_max_length=16)


@pytest.fixture
def model(tokenizer: Any) -> Any:
    torch.manual_seed(0)
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    towers = {**layers, "num_attention_heads": 2, "projection_dim": 8}
    text = {
        **towers,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 16,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**towers, "image_size": SIZE, "patch_size": 8}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).eval()


def pictures(*sizes: tuple[int, int]) -> list[np.ndarray[Any, Any]]:
    """Soft blotches: like photographs, and unlike noise, no filter overshoots on them."""
    random = np.random.default_rng(1)
    noise = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    return [np.asarray(cv2.GaussianBlur(picture, (0, 0), 2)) for picture in noise]


def test_images_equal_transformers_processor_and_model(model: Any, tokenizer: Any) -> None:
    views = pictures((32, 32), (48, 48), (100, 37), (20, 50))
    inputs = CLIPImageProcessor(**CONFIG)(images=views, return_tensors="pt")
    ids = torch.tensor([[tokenizer.bos_token_id, tokenizer.eos_token_id]])
    with torch.inference_mode():
        theirs = model(pixel_values=inputs["pixel_values"], input_ids=ids).image_embeds
    ours = ClipEmbedder(model, CONFIG, tokenizer, "cpu").images(views)
    assert ours.dtype == np.float32
    assert ours.shape == (4, 8)
    # Resampled code values may differ by one step from Pillow's; unresized pictures do not.
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6)
    assert ((ours * theirs.numpy()).sum(-1) > 0.9999).all()


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (100, 37), (21, 50)])
def test_preprocessing_is_within_one_code_value_of_transformers(size: tuple[int, int]) -> None:
    (view,) = pictures(size)
    theirs = CLIPImageProcessor(**CONFIG)(images=view, return_tensors="pt")["pixel_values"][0]
    ours = Preprocess.from_config(CONFIG, SIZE)(view)
    assert ours.shape == (3, SIZE, SIZE)
    assert (ours - theirs).abs().max() <= 1.01 / 255 / min(CONFIG["image_std"])


def test_texts_equal_the_model_and_tokenizer_called_directly(model: Any, tokenizer: Any) -> None:
    captions = ["a red cup", "", "ball", "a caption of far more than sixteen tokens"]
    inputs = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    pixels = torch.zeros(1, 3, SIZE, SIZE)
    with torch.inference_mode():
        theirs = model(pixel_values=pixels, **inputs).text_embeds
    embedder = ClipEmbedder(model, CONFIG, tokenizer, "cpu")
    np.testing.assert_allclose(embedder.texts(captions), theirs, atol=1e-6)
    assert [embedder.too_long(caption) for caption in captions] == [False, False, False, True]


def test_vectors_are_of_length_one_and_nothing_gives_none(model: Any, tokenizer: Any) -> None:
    embedder = ClipEmbedder(model, CONFIG, tokenizer, "cpu")
    lengths = np.linalg.norm(embedder.images(pictures((40, 40), (9, 9))), axis=-1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)
    assert embedder.images([]).shape == (0, 8)


def count_images(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    batches: list[int] = []
    forward = model.vision_model.forward

    def counted(pixel_values: torch.Tensor, **rest: Any) -> Any:
        batches.append(len(pixel_values))
        return forward(pixel_values=pixel_values, **rest)

    monkeypatch.setattr(model.vision_model, "forward", counted)
    return batches


def test_the_same_content_is_computed_once(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = count_images(model, monkeypatch)
    embedder = ClipEmbedder(model, CONFIG, tokenizer, "cpu")
    one, two = pictures((32, 32), (32, 32))
    first = embedder.images([one, two, one.copy()])
    again = embedder.images([two.copy(), one])
    assert batches == [2]
    np.testing.assert_array_equal(again, first[[1, 2]])
    embedder.images([one.reshape(64, 16, 3)])
    assert batches == [2, 1], "the same bytes in another shape are another picture"


def test_batches_are_bounded_and_so_is_the_cache(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "BATCH", 2)
    monkeypatch.setattr(embed, "KEPT", 3)
    batches = count_images(model, monkeypatch)
    embedder = ClipEmbedder(model, CONFIG, tokenizer, "cpu")
    views = pictures(*[(32, 32)] * 5)
    together = embedder.images(views)
    assert batches == [2, 2, 1]
    np.testing.assert_allclose(embedder.images(views[:1]), together[:1], atol=1e-6)
    assert batches == [2, 2, 1, 1], "the oldest was forgotten"
    embedder.images([views[4]])
    assert batches == [2, 2, 1, 1], "the newest was not"


def test_a_broken_model_is_an_error_and_is_not_remembered(model: Any, tokenizer: Any) -> None:
    embedder = ClipEmbedder(model, CONFIG, tokenizer, "cpu")
    (view,) = pictures((32, 32))
    weight = model.visual_projection.weight.data
    kept = weight.clone()
    weight[0] = float("nan")
    with pytest.raises(EngineError, match="pictures are not finite"):
        embedder.images([view])
    weight.copy_(kept)
    assert np.isfinite(embedder.images([view])).all()


def test_half_precision_gives_nearly_the_same_vectors(model: Any, tokenizer: Any) -> None:
    views = pictures((32, 32), (50, 50))
    full = ClipEmbedder(model, CONFIG, tokenizer, "cpu").images(views)
    half = ClipEmbedder(model.bfloat16(), CONFIG, tokenizer, "cpu").images(views)
    assert half.dtype == np.float32
    assert ((full * half).sum(-1) > 0.99).all()


@pytest.mark.parametrize("size", [None, SIZE, {"shortest_edge": SIZE}, {"height": SIZE, "width": SIZE}])
def test_sizes_are_read_in_every_form_that_configs_use(size: Any) -> None:
    config = {} if size is None else {"size": size, "crop_size": SIZE}
    (view,) = pictures((40, 40))
    assert Preprocess.from_config(config, SIZE)(view).shape == (3, SIZE, SIZE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_size": 24}, "makes pictures of 24x24 .*the 32x32"),
        ({"size": 24}, "out of 24x24"),
        ({"resample": 1}, "resample 1"),
        ({"size": {"longest_edge": 32}}, "longest_edge"),
    ],
)
def test_configs_that_do_not_fit_the_model(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Preprocess.from_config({**CONFIG, **changes}, SIZE)


def test_a_tokenizer_longer_than_the_model(model: Any, tokenizer: Any) -> None:
    model.config.text_config.max_position_embeddings = 12
    with pytest.raises(BundleError, match="writes 16 tokens, its model reads 12"):
        ClipEmbedder(model, CONFIG, tokenizer, "cpu")
