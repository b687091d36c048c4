"""Pictures and texts to unit vectors with any CLIP model of transformers."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mive.errors import BundleError
from mive.evaluate.metrics.preprocess import Preprocess
from mive.evaluate.metrics.vectors import Vectors, require_finite
from mive.media.info import Pixels
from mive.networks.tokens import encode_captions

BATCH = 32
"""Pictures or texts that go through the model at once."""

KEPT = 4096
"""Vectors that the cache holds, 8 MB at 512 dimensions."""


class ClipEmbedder:
    """An :class:`~mive.evaluate.metrics.vectors.Embedder` around a ``transformers.CLIPModel``.

    What was embedded before is not computed again: the last few thousand pictures and texts are
    remembered by their content.

    Args:
        model: a ``CLIPModel`` in any precision; it is moved to ``device`` and put in eval mode.
        processor_config: what the model's ``preprocessor_config.json`` holds. Pictures that are
            not square lose their ends to its centre crop, as everywhere CLIP scores are reported.
        tokenizer: the model's tokenizer.
        device: where the model runs.

    Raises:
        BundleError: the config or the tokenizer does not fit the model.
    """

    def __init__(
        self,
        model: Any,
        processor_config: Mapping[str, Any],
        tokenizer: Any,
        device: torch.device | str,
    ) -> None:
        self._model = model.to(device).eval()
        self._device = torch.device(device)
        self._preprocess = Preprocess.from_config(processor_config, int(model.config.vision_config.image_size))
        self._tokenizer = tokenizer
        self._known: OrderedDict[bytes, Vectors] = OrderedDict()
        positions = int(model.config.text_config.max_position_embeddings)
        if int(tokenizer.model_max_length) > positions:
            raise BundleError(
                f"The CLIP tokenizer writes {tokenizer.model_max_length} tokens, its model reads {positions}",
                expected="a tokenizer of the model's own length",
                fix=f"Set model_max_length in clip/tokenizer_config.json to {positions}",
            )

    def images(self, images: Sequence[Pixels]) -> Vectors:
        """Embed pictures.

        Args:
            images: n pictures ``[H, W, 3]`` uint8, of any sizes.

        Returns:
            ``[n, d]`` float32 unit vectors.

        Raises:
            EngineError: the model's output is not finite.
        """
        keys = [_key(f"image {image.shape}", image.tobytes()) for image in images]
        return self._recalled(keys, images, self._embed_images)

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Embed n texts: ``[n, d]`` float32 unit vectors.

        Raises:
            EngineError: the model's output is not finite.
        """
        keys = [_key("text", text.encode()) for text in texts]
        return self._recalled(keys, texts, self._embed_texts)

    def too_long(self, text: str) -> bool:
        """Whether the text has more tokens than the model reads, so that its tail is lost."""
        return encode_captions(self._tokenizer, [text]).truncated[0]

    def _recalled(self, keys: Sequence[bytes], items: Sequence[Any], embed: Callable[[list[Any]], Vectors]) -> Vectors:
        new = {key: item for key, item in zip(keys, items, strict=True) if key not in self._known}
        vectors = {key: self._known[key] for key in keys if key in self._known}
        waiting = list(new.items())
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            found = embed([item for _, item in batch])
            vectors.update(zip((key for key, _ in batch), found, strict=True))
        for key in keys:
            self._known[key] = vectors[key]
            self._known.move_to_end(key)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        width = int(self._model.config.projection_dim)
        return np.stack([vectors[key] for key in keys]) if keys else np.zeros((0, width), "f4")

    @torch.inference_mode()
    def _embed_images(self, images: list[Pixels]) -> Vectors:
        pixels = torch.stack([self._preprocess(image) for image in images])
        pixels = pixels.to(self._device, self._model.dtype)
        pooled = self._model.vision_model(pixel_values=pixels).pooler_output
        return _unit(self._model.visual_projection(pooled), "pictures")

    @torch.inference_mode()
    def _embed_texts(self, texts: list[str]) -> Vectors:
        # Padding comes after the end token that is pooled, and attention is causal: no mask needed.
        ids = encode_captions(self._tokenizer, texts).ids.to(self._device)
        pooled = self._model.text_model(input_ids=ids).pooler_output
        return _unit(self._model.text_projection(pooled), "captions")


def _unit(vectors: Tensor, what: str) -> Vectors:
    unit = F.normalize(vectors.float(), dim=-1)
    return require_finite(unit.cpu().numpy(), what)


def _key(kind: str, content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16, key=kind.encode()).digest()
