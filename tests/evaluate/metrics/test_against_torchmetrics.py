"""The scores that a well-kept library has too, beside that library's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPModel, CLIPProcessor

from mive.evaluate.metrics.files import load_judge
from mive.evaluate.metrics.scores import gtf
from mive.networks.bundle_files import BUNDLES_FOLDER

CAPTIONS = ("a red ball on grass", "a blue striped cup", "nothing of the kind")


class Projected(CLIPModel):
    """Gives its features as bare vectors: torchmetrics knows no newer transformers."""

    def get_image_features(self, *arguments: Any, **options: Any) -> torch.Tensor:
        return super().get_image_features(*arguments, **options).pooler_output

    def get_text_features(self, *arguments: Any, **options: Any) -> torch.Tensor:
        return super().get_text_features(*arguments, **options).pooler_output


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle's CLIP and tokenizer in one folder, as a model hub has them."""
    folder = tmp_path_factory.mktemp("clips") / "clip"
    shutil.copytree(BUNDLES_FOLDER / "tiny" / "clip", folder)
    shutil.copytree(BUNDLES_FOLDER / "tiny" / "tokenizer", folder, dirs_exist_ok=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("size", [(192, 192), (90, 160)], ids=["square", "wide"])
def test_textual_faithfulness_is_torchmetrics_clip_score(clip: Path, size: tuple[int, int]) -> None:
    """CLIPScore is 100 times the mean cosine, and 0 where that is negative."""
    from torchmetrics.functional.multimodal import clip_score

    frames = list(np.random.default_rng(1).integers(0, 256, (3, *size, 3), np.uint8))
    judge = load_judge(clip)

    def loaded() -> tuple[CLIPModel, CLIPProcessor]:
        return Projected.from_pretrained(clip), CLIPProcessor.from_pretrained(clip)

    for caption in CAPTIONS:
        ours = gtf(judge.images(frames), judge.texts([caption])[0])
        assert ours is not None
        pictures = [torch.from_numpy(frame).permute(2, 0, 1) for frame in frames]
        theirs = clip_score(pictures, [caption] * len(frames), model_name_or_path=loaded)
        assert max(ours, 0) == pytest.approx(float(theirs) / 100, abs=2e-3)
