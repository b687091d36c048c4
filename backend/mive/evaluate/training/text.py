"""The tiny bundle's tokenizer: CLIP's own kind, with one token for every word of the toy world."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import CLIPTokenizer

from mive.evaluate.toyworld import WORDS

LENGTH = 77


def _byte_symbols() -> list[str]:
    """The 256 printable stand-ins for bytes that byte-level BPE uses (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = {byte: chr(byte) for byte in printable}
    spare = 256
    for byte in range(256):
        if byte not in symbols:
            symbols[byte] = chr(spare)
            spare += 1
    return [symbols[byte] for byte in (*printable, *(b for b in range(256) if b not in set(printable)))]


def _joined(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """The pieces of a word after merging every occurrence of a pair, from the left."""
    result: list[str] = []
    for piece in pieces:
        if result and (result[-1], piece) == pair:
            result[-1] += piece
        else:
            result.append(piece)
    return result


def _merges(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Merges, in rank order, after which each word is one token: what BPE itself does, on a list of words."""
    pieces = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges = []
    while longest := max((word for word in pieces if len(word) > 1), key=len, default=None):
        pair = (longest[0], longest[1])
        merges.append(pair)
        pieces = [_joined(word, pair) for word in pieces]
    return merges


def write_tokenizer(folder: Path) -> CLIPTokenizer:
    """Write ``tokenizer/`` and return it. Unknown words fall apart into known pieces, never into an error."""
    merges = _merges(WORDS)
    tokens = _byte_symbols()
    tokens += [symbol + "</w>" for symbol in tokens]
    tokens += [left + right for left, right in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(f"{a} {b}" for a, b in merges)]) + "\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=LENGTH)
    tokenizer.save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)
