"""Any CLIP can judge: a bundle's own, a folder, one from the hub."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluate.bench.conftest import AFTER, Painter
from tests.networks.sd15 import save_sd15
from transformers import CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from mive.errors import BundleError
from mive.evaluate.bench.suite import Suite
from mive.evaluate.metrics import files as scoring
from mive.evaluate.metrics import gather
from mive.evaluate.metrics.embed import ClipEmbedder
from mive.evaluate.metrics.files import load_judge, score_files
from mive.evaluate.toyworld import Renderer, random_scene
from mive.evaluate.training.rendering import HELD_OUT_SEEDS
from mive.networks.bundle_files import BUNDLES_FOLDER

TINY = BUNDLES_FOLDER / "tiny"
PICTURES = [np.random.default_rng(seed).integers(0, 256, (40, 40, 3), np.uint8) for seed in range(3)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sd15(tmp_path_factory.mktemp("bundles") / "random")


@pytest.fixture(scope="module")
def lone(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's CLIP with its tokenizer, as a model hub has them."""
    folder = tmp_path_factory.mktemp("clips") / "clip"
    shutil.copytree(bundle / "clip", folder)
    shutil.copytree(bundle / "tokenizer", folder, dirs_exist_ok=True)
    return folder


def agree(one: ClipEmbedder, other: ClipEmbedder) -> bool:
    texts = ["a red ball", "a cube"]
    return np.array_equal(one.images(PICTURES), other.images(PICTURES)) and np.array_equal(
        one.texts(texts), other.texts(texts)
    )


def test_a_folder_with_a_clip_judges_as_the_bundle_it_is_from(bundle: Path, lone: Path) -> None:
    assert agree(load_judge(bundle), load_judge(lone))


def test_a_hub_id_is_a_clip_or_a_bundle(
    bundle: Path, lone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scoring, "download", lambda name, instead: {"some/clip": lone}[name])
    assert agree(load_judge("some/clip"), load_judge(bundle))


def test_a_clip_without_its_tokenizer(bundle: Path) -> None:
    with pytest.raises(BundleError, match="tokenizer"):
        load_judge(bundle / "clip")


def test_no_such_judge() -> None:
    with pytest.raises(BundleError, match='no bundle "nobody"'):
        load_judge("nobody")


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures go through the model at once."""
    sizes: list[int] = []
    embed = ClipEmbedder._embed_images

    def counted(self: ClipEmbedder, images: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]) -> object:
        sizes.append(len(images))
        return embed(self, images)

    monkeypatch.setattr(ClipEmbedder, "_embed_images", counted)
    return sizes


def test_pictures_of_several_frames_go_through_the_model_together(
    squares: Suite, bundle: Path, tmp_path: Path, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = squares.clips[2]
    Painter("p", AFTER).make(clip, tmp_path / "edit.mkv", lambda progress: None)

    def scored() -> dict[str, object]:
        judge = load_judge(bundle)
        return score_files(clip.source, tmp_path / "edit.mkv", str(clip.mattes), clip.instances, judge=judge).to_dict()

    together = scored()
    assert len(batches) == 1
    batches.clear()
    monkeypatch.setattr(gather, "TOGETHER", 1)
    one_by_one = scored()
    assert len(batches) == 3
    for name in ("gtc", "gtf", "ltc", "ltf"):
        assert one_by_one[name] == pytest.approx(together[name], abs=1e-6)
    assert {name: one_by_one[name] for name in ("fa", "ia", "cia", "bp")} == {
        name: together[name] for name in ("fa", "ia", "cia", "bp")
    }


@pytest.mark.skipif(not TINY.is_dir(), reason="the bundle tiny is not in the package")
def test_textual_faithfulness_is_the_clip_score_of_torchmetrics() -> None:
    multimodal = pytest.importorskip("torchmetrics.functional.multimodal", reason="torchmetrics is not installed")
    model = CLIPModel.from_pretrained(TINY / "clip").requires_grad_(False)
    images = CLIPImageProcessor.from_pretrained(TINY / "clip")
    processor = CLIPProcessor(images, CLIPTokenizer.from_pretrained(TINY / "tokenizer"))
    for method in ("get_image_features", "get_text_features"):
        # transformers 5 wraps these vectors in an object, which torchmetrics does not expect yet.
        features = getattr(model, method)
        setattr(model, method, lambda *inputs, features=features: features(*inputs).pooler_output)
    scenes = [random_scene(HELD_OUT_SEEDS + seed, (80, 80), (1, 1), (0.3, 0.4)) for seed in range(4)]
    pictures = [Renderer(scene).frame(0).image for scene in scenes]
    texts = [scene.things[0].caption for scene in scenes]
    theirs = [
        float(multimodal.clip_score(torch.from_numpy(picture).permute(2, 0, 1), text, lambda: (model, processor)))
        for picture, text in zip(pictures, texts, strict=True)
    ]
    judge = load_judge(TINY)
    ours = 100 * (judge.images(pictures) * judge.texts(texts)).sum(-1)
    assert min(theirs) > 5
    # Theirs is in hundredths; resampled pictures differ by a code value here and there.
    np.testing.assert_allclose(ours, theirs, atol=0.5)
