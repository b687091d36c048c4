"""DenseDiffusion's modulation of logits."""

from __future__ import annotations

import pytest
import torch

from mive.attention import dense_diffusion
from mive.attention.dense_diffusion import (
    DenseDiffusion,
    modulate,
)
from mive.attention.roles import TokenRoles


def test_hand_computed_example() -> None:
    s = torch.tensor([[1.0, 3.0, -1.0]])
    belongs = torch.tensor([[True, False, True]])
    # amount 0.5, area 0.2: 0.4 of the way to the maximum 3, or to the minimum -1.
    expected = torch.tensor([[1.8, 1.4, 0.6]])
    torch.testing.assert_close(modulate(s, belongs, torch.tensor([0.2]), 0.5), expected)


def test_text_tokens_gain_inside_the_mask_and_lose_outside() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 2, n, 8, generator=generator) for n in (4, 6))
    roles, mask = TokenRoles(torch.tensor([2])), torch.tensor([[True, False, False, False]])
    v = torch.eye(6).expand(1, 2, 6, 6)  # the output is the probabilities

    def text(step: float) -> torch.Tensor:
        h = DenseDiffusion(step).cross_attention(q, k, v, mask, roles)
        return h[..., 1:3].sum(-1)

    plain, modulated = text(0), text(900)
    torch.testing.assert_close(plain, (q @ k.mT / 8**0.5).softmax(-1)[..., 1:3].sum(-1))
    assert (modulated[..., 0] > plain[..., 0]).all()


def test_a_frame_without_the_instance_is_left_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, n, 8, generator=generator) for n in (4, 6, 6))
    mask = torch.zeros(1, 4, dtype=torch.bool)
    h = DenseDiffusion(1000).cross_attention(q, k, v, mask, TokenRoles(torch.tensor([2])))
    torch.testing.assert_close(h, torch.nn.functional.scaled_dot_product_attention(q, k, v))


def test_self_attention_turns_to_its_own_segment_in_every_frame() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 2, 8, 4, generator=generator) for _ in range(2))
    v = torch.eye(8).expand(1, 2, 8, 8)
    mask = torch.tensor([[[True, False, False, False], [False, True, False, False]]])
    plain = DenseDiffusion(0).self_attention(q, k, v, mask)
    torch.testing.assert_close(plain, (q @ k.mT / 2).softmax(-1))
    modulated = DenseDiffusion(1000).self_attention(q, k, v, mask)
    same = mask.flatten()[:, None] == mask.flatten()[None]
    assert ((modulated * same).sum(-1) > (plain * same).sum(-1)).all()


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 2, 8, 4, generator=generator) for _ in range(3))
    mask = torch.rand(2, 2, 4, generator=generator) > 0.5
    whole = DenseDiffusion(800).self_attention(q, k, v, mask)
    monkeypatch.setattr(dense_diffusion, "_LOGITS_PER_CHUNK", 3 * 2 * 2 * 8)
    torch.testing.assert_close(DenseDiffusion(800).self_attention(q, k, v, mask), whole)


def test_weights_areas_and_decay_are_those_of_the_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 1, 4, 4, generator=generator) for _ in range(2))
    v = torch.eye(4).expand(1, 1, 4, 4)
    mask = torch.tensor([[True, False, False, False]])
    s = q @ k.mT / 2
    # The instance covers a quarter of the frame, everything else the rest; (800/1000)^5 = 0.32768.
    regularity = (1 - torch.tensor([0.25, 0.75, 0.75, 0.75]))[:, None] * 0.32768
    up, down = s.amax(-1, keepdim=True) - s, s - s.amin(-1, keepdim=True)

    text = torch.tensor([False, True, False, False])  # S, T, E, P
    R = (mask[0][:, None] & text).float()
    expected = (s + 1.0 * regularity * (R * up - (1 - R) * down)).softmax(-1)
    h = DenseDiffusion(800).cross_attention(q, k, v, mask, TokenRoles(torch.tensor([1])))
    torch.testing.assert_close(h, expected)

    R = (mask[0][:, None] == mask[0]).float()
    expected = (s + 0.3 * regularity * (R * up - (1 - R) * down)).softmax(-1)
    h = DenseDiffusion(800).self_attention(q, k, v, mask[:, None])
    torch.testing.assert_close(h, expected)
