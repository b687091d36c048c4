"""Pooled attention: the stock kernels against the reference, and the reference against dense attention."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mive.attention.pooled import padded, pooled_attention, reference

SIZES = [(4, 6), (5, 4), (3, 3), (1, 2), (1, 1)]


def some(frames: int, size: tuple[int, int], dim: int = 8, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 3, frames * size[0] * size[1], dim)
    q, k, v = (torch.randn(shape, generator=generator) for _ in range(3))
    return 2 * q, k, v


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("dim", [7, 8, 40])
def test_the_stock_kernels_compute_the_reference(size: tuple[int, int], frames: int, dim: int) -> None:
    q, k, v = some(frames, size, dim)
    expected = reference.pooled_attention(q, k, v, frames, size)
    torch.testing.assert_close(pooled_attention(q, k, v, frames, size), expected, atol=1e-5, rtol=0)


def test_in_chunks_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = some(5, (4, 6))
    whole = pooled_attention(q, k, v, 5, (4, 6))
    for limit in (1, 3 * 2 * 3 * 16 * 48):
        monkeypatch.setattr(padded, "_GATHERED_PER_CHUNK", limit)
        torch.testing.assert_close(pooled_attention(q, k, v, 5, (4, 6)), whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_survive_16_bits(dtype: torch.dtype) -> None:
    q, k, v = (x.to(dtype) for x in some(4, (6, 6)))
    expected = reference.pooled_attention(q.float(), k.float(), v.float(), 4, (6, 6))
    made = pooled_attention(q, k, v, 4, (6, 6))
    assert made.dtype == dtype
    torch.testing.assert_close(made.float(), expected, atol=0.03, rtol=0)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_where_the_averaged_tokens_are_alike_it_is_dense_attention(size: tuple[int, int]) -> None:
    """Odd edges too, where an average is of two tokens or one."""
    height, width = size
    q, _, _ = some(3, size)
    coarse = torch.randn(2, 2, 3, 3, -(-height // 2), -(-width // 2), 8)
    k, v = (x.repeat_interleave(2, 3).repeat_interleave(2, 4)[:, :, :, :height, :width].flatten(2, 4) for x in coarse)
    dense = F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(reference.pooled_attention(q, k, v, 3, size), dense, atol=1e-5, rtol=0)


def test_a_tokens_own_frame_is_seen_whole() -> None:
    """What tells apart two tokens that are averaged elsewhere still tells them apart at home."""
    q, k, v = some(2, (4, 4))
    other = k.clone()
    # The first two tokens of the second frame trade places: its average stays.
    other[:, :, [16, 17]] = k[:, :, [17, 16]]
    before, after = (reference.pooled_attention(q, x, v, 2, (4, 4)).chunk(2, 2) for x in (k, other))
    torch.testing.assert_close(before[0], after[0])
    assert (before[1] - after[1]).abs().max() > 1e-2


def test_one_frame_is_dense() -> None:
    q, k, v = some(1, (5, 4))
    assert torch.equal(pooled_attention(q, k, v, 1, (5, 4)), F.scaled_dot_product_attention(q, k, v))
