"""Captions to token ids, and their roles in cross-attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mive.attention.roles import TokenRoles
from mive.errors import BundleError

_LONGEST_MODEL = 4096


class EncodedCaptions(NamedTuple):
    """Token ids int64 [B, L], their roles, and which captions were too long for the model."""

    ids: Tensor
    roles: TokenRoles
    truncated: tuple[bool, ...]


def encode_captions(tokenizer: Any, captions: Sequence[str]) -> EncodedCaptions:
    """Tokenise captions to the model's length and tell the role of every position.

    A caption of more than L - 2 tokens loses its tail (N_T is clamped) and is flagged, so that
    the user can be warned.

    Args:
        tokenizer: a transformers tokenizer that puts one token before and one after the text,
            as CLIP's does; L is its ``model_max_length`` (77 for Stable Diffusion 1.5).
        captions: B captions; an empty one has N_T = 0.

    Raises:
        BundleError: the tokenizer does not say how many tokens the model takes.
    """
    length = int(tokenizer.model_max_length)
    if length > _LONGEST_MODEL:
        raise BundleError(
            "the tokenizer does not say how many tokens its model takes",
            expected="model_max_length in tokenizer_config.json (77 for Stable Diffusion 1.5)",
            fix="add it, or export the bundle's tokenizer again with save_pretrained",
        )
    sequences = [
        tokenizer(caption, padding=False, truncation=False, verbose=False)["input_ids"] for caption in captions
    ]
    ids = torch.full((len(sequences), length), int(tokenizer.pad_token_id), dtype=torch.long)
    n_text = torch.zeros(len(sequences), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        n_text[row] = min(len(sequence), length) - 2
        kept = sequence[: int(n_text[row]) + 1] + sequence[-1:]
        ids[row, : len(kept)] = torch.tensor(kept)
    truncated = tuple(len(sequence) > length for sequence in sequences)
    return EncodedCaptions(ids, TokenRoles(n_text), truncated)
