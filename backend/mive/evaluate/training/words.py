"""Captions of many scenes at once, as token ids on the device that trains.

They read as `mive.evaluate.toyworld.describe`, `sentence` and `vary` would write them; a test holds the two together.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from mive.evaluate.toyworld import COLOURS, GROUNDS, PATTERNS, SHAPES
from mive.evaluate.training.scenes import uniform

PLAIN = PATTERNS.index("plain")


class Words:
    """Token ids of every word of the toy world, on one device.

    Args:
        tokenizer: with one token for each word (`mive.evaluate.training.text`).
        device: where captions are made.
    """

    def __init__(self, tokenizer: CLIPTokenizer, device: torch.device) -> None:
        def ids(words: list[str]) -> Tensor:
            return torch.tensor([tokenizer(word)["input_ids"][1] for word in words], device=device)

        self.length = tokenizer.model_max_length
        self.start, self.end = tokenizer.bos_token_id, tokenizer.eos_token_id
        self.colours, self.patterns, self.shapes = ids(list(COLOURS)), ids(list(PATTERNS)), ids(list(SHAPES))
        self.grounds = ids(list(GROUNDS))
        self.a, self.an, self.the, self.one, self.conjunction, self.on = ids(["a", "an", "the", "one", "and", "on"])
        self._vowel = torch.tensor([word[0] in "aeiou" for word in COLOURS], device=device)

    def captions(
        self, words: Tensor, named: Tensor, ground: Tensor, on_ground: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Token ids [B, 77] of captions such as ``a red striped ball and the blue cube on grass``.

        Args:
            words: [B, n, 3] indices of colour, pattern and shape, in the order of naming.
            named: [B, n] bool, which of them the caption names; none makes the empty caption.
            ground: [B] index of the ground.
            on_ground: [B] bool, whether the ground is named; never in the empty caption.
            generator: draws the variations.
        """
        batch, count = named.shape
        colour, pattern, shape = words.clamp(min=0).unbind(-1)
        odd, choice = uniform(generator, batch, count), uniform(generator, batch, count)
        article = torch.where(self._vowel[colour], self.an, self.a)
        article = torch.where(odd < 0.15, torch.where(choice < 0.5, self.the, self.one), article)
        bare = (odd >= 0.15) & (choice < 0.1)
        follows = named & (named.cumsum(1) > 1)
        slots = torch.stack(
            [self.conjunction.expand_as(article), article, self.colours[colour], self.patterns[pattern],
             self.shapes[shape]], -1,
        )  # fmt: skip
        said = torch.stack([follows, named & ~bare, named, named & (pattern != PLAIN), named], -1)
        tail = torch.stack([self.on.expand_as(ground), self.grounds[ground]], -1)
        closes = (on_ground & named.any(1))[:, None].expand(-1, 2)
        return self._packed(torch.cat([slots.flatten(1), tail], 1), torch.cat([said.flatten(1), closes], 1))

    def _packed(self, slots: Tensor, said: Tensor) -> Tensor:
        """The said tokens of [B, n] moved to the left, between start and end tokens, [B, length]."""
        packed = torch.full((len(slots), self.length + 1), self.end, device=slots.device)
        packed[:, 0] = self.start
        place = torch.where(said, said.cumsum(1), self.length).clamp(max=self.length)
        packed.scatter_(1, place, torch.where(said, slots, self.end))
        packed[:, self.length - 1] = self.end
        return packed[:, : self.length]


def shuffled(words: Tensor, there: Tensor, count: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """At most ``count`` [B] of the things that are ``there`` [B, n], in random order.

    Returns:
        their ``words`` [B, n, 3] in that order, and which of them are meant [B, n].
    """
    order = torch.where(there, uniform(generator, *there.shape), 2.0).argsort(1)
    meant = torch.arange(there.shape[1], device=there.device) < torch.minimum(count, there.sum(1))[:, None]
    return words.gather(1, order[..., None].expand(-1, -1, 3)), meant
