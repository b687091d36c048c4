"""Roles of token positions, on CLIP's real vocabulary."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPTokenizer

from mive.attention.roles import TokenRoles
from mive.errors import BundleError
from mive.networks.tokens import encode_captions

START, END = 49406, 49407


def byte_symbols() -> list[str]:
    """The printable symbols that stand for the 256 bytes in CLIP's vocabulary, in its order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]


@pytest.fixture(scope="module")
def tokenizer(shared: Callable[[str], Path]) -> Any:
    """SD 1.5's tokenizer: 77 tokens, padding with the end token's id."""
    with gzip.open(shared("clip_vocab/merges.txt.gz"), "rt", encoding="utf-8") as file:
        merges = [tuple(line.split()) for line in file.read().split("\n")[1:48895]]
    symbols = byte_symbols()
    words = [*symbols, *(s + "</w>" for s in symbols), *("".join(pair) for pair in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token="<|endoftext|>", model_max_length=77)


def roles_of(roles: TokenRoles, row: int) -> str:
    marks = {"S": roles.start(77), "T": roles.text(77), "E": roles.end(77), "P": roles.padding(77)}
    return "".join(next(m for m, on in marks.items() if on[row, i]) for i in range(77))


def test_roles_go_by_position_though_padding_is_the_end_token(tokenizer: Any) -> None:
    ids, roles, truncated = encode_captions(tokenizer, ["a red cup", "", "a photo of a cat"])
    assert ids.shape == (3, 77)
    assert ids[0, :6].tolist() == [START, 320, 736, 1937, END, END]
    assert roles_of(roles, 0) == "STTTE" + "P" * 72
    assert roles_of(roles, 1) == "SE" + "P" * 75
    assert roles_of(roles, 2) == "STTTTTE" + "P" * 70
    assert truncated == (False, False, False)


def test_ids_are_those_of_the_tokenizer_itself(tokenizer: Any) -> None:
    captions = ["a shiny, teal robot; it's new", "", "x " * 90]
    theirs = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    assert torch.equal(encode_captions(tokenizer, captions).ids, theirs["input_ids"])


def test_a_caption_that_is_too_long_is_clamped_and_flagged(tokenizer: Any) -> None:
    ids, roles, truncated = encode_captions(tokenizer, ["red " * 75, "red " * 76, "red " * 200])
    assert roles.n_text.tolist() == [75, 75, 75]
    assert truncated == (False, True, True)
    assert (ids[:, 76] == END).all()
    assert roles_of(roles, 2) == "S" + "T" * 75 + "E"


def test_a_tokenizer_without_a_length_is_an_error() -> None:
    class Endless:
        model_max_length = int(1e30)

    with pytest.raises(BundleError, match="model_max_length"):
        encode_captions(Endless(), ["a cup"])
