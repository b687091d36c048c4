"""FLATTEN's flow-guided attention as a Triton kernel that gathers along trajectories itself.

Keys and values of a token lie scattered over the frames. The reference copies them side by side, N times
the size of k and v; here a program reads them straight from where they are.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from mive.attention.launch import Launch
from mive.attention.tiles import alignment, flow_tile


def flow_attention(q: Tensor, k: Tensor, v: Tensor, trajectories: Tensor) -> Tensor:
    """What `mive.attention.flow.reference.flow_attention` returns, with nothing gathered in memory.

    Where v is k, as FLATTEN has it, every point is read once. Any strides are taken.

    Args:
        q, k, v: [B, heads, N·n, d] in float16, bfloat16 or float32, frame after frame.
        trajectories: int64 or int32 [N·n, N], as in the reference.

    Returns:
        h [B, heads, N·n, d] in q's dtype, accumulated in float32, laid out as q is if q has no gaps.
    """
    h = torch.empty_like(q)
    same = k.data_ptr() == v.data_ptr() and k.stride() == v.stride()
    with torch.cuda.device_of(q):  # type: ignore[no-untyped-call]
        flow_launch(q, k, v, h, trajectories, same=same)()
    return h


def flow_launch(q: Tensor, k: Tensor, v: Tensor, h: Tensor, trajectories: Tensor, *, same: bool) -> Launch:
    """The launch of one op; tensors on the device "meta" do to know it.

    Args:
        q, k, v, trajectories: as `flow_attention` has them.
        h: the result's memory.
        same: v is k.
    """
    batch, heads, tokens, dim = q.shape
    frames = trajectories.shape[1]
    tile = flow_tile(dim)
    # The tiles of one place in all frames run side by side: they read the same points.
    places = triton.cdiv(triton.cdiv(tokens, tile.rows), frames)
    arguments = (
        *(q, k, v, h, trajectories),
        *(*q.stride(), *k.stride(), *v.stride(), *h.stride(), *trajectories.stride()),
        *(tokens, frames, places, math.log2(math.e) * dim**-0.5),
    )
    constants = {"DIM": dim, "ROWS": tile.rows, "DIMS": tile.dims, "ALIGN": alignment(q, k, v, h), "SAME": same}
    return Launch(follow, (places * frames, heads, batch), arguments, constants, tile.warps)


@triton.jit
def follow(
    q: tl.tensor,
    k: tl.tensor,
    v: tl.tensor,
    h: tl.tensor,
    trajectories: tl.tensor,
    q_batch: tl.tensor,
    q_head: tl.tensor,
    q_token: tl.tensor,
    q_dim: tl.tensor,
    k_batch: tl.tensor,
    k_head: tl.tensor,
    k_token: tl.tensor,
    k_dim: tl.tensor,
    v_batch: tl.tensor,
    v_head: tl.tensor,
    v_token: tl.tensor,
    v_dim: tl.tensor,
    h_batch: tl.tensor,
    h_head: tl.tensor,
    h_token: tl.tensor,
    h_dim: tl.tensor,
    path_token: tl.tensor,
    path_frame: tl.tensor,
    tokens: tl.tensor,
    frames: tl.tensor,
    places: tl.tensor,
    scale: tl.tensor,
    DIM: tl.constexpr,
    ROWS: tl.constexpr,
    DIMS: tl.constexpr,
    ALIGN: tl.constexpr,
    SAME: tl.constexpr,
) -> None:
    """Attention of a tile of tokens to the points on their trajectories, one frame after the other."""
    # Offsets are 64 bits wide throughout: a long clip's tensors pass 2^31 numbers.
    head, batch = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    tile = tl.program_id(0) % frames * places + tl.program_id(0) // frames
    rows = tile.to(tl.int64) * ROWS + tl.arange(0, ROWS)
    dims = tl.arange(0, DIMS).to(tl.int64)
    there = (rows < tokens)[:, None] & (dims < DIM)[None, :]
    q += tl.multiple_of(batch * q_batch + head * q_head, ALIGN)
    k += tl.multiple_of(batch * k_batch + head * k_head, ALIGN)
    v += tl.multiple_of(batch * v_batch + head * v_head, ALIGN)
    h += tl.multiple_of(batch * h_batch + head * h_head, ALIGN)
    q_rows = tl.multiple_of(rows * q_token, ALIGN)[:, None] + dims[None, :] * q_dim
    Q = tl.load(q + q_rows, mask=there, other=0.0).to(tl.float32) * scale

    # Running maximum, sum and product with V. The maximum starts at the least float32 there is, not at -inf:
    # a token may have no point in the first frames.
    highest = tl.full((ROWS,), -3.4028234663852886e38, tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    product = tl.zeros((ROWS, DIMS), tl.float32)
    paths = trajectories + rows * path_token
    for _ in range(frames):
        point = tl.load(paths, mask=rows < tokens, other=-1).to(tl.int64)
        read = (point >= 0)[:, None] & (dims < DIM)[None, :]
        k_points = tl.multiple_of(point * k_token, ALIGN)[:, None] + dims[None, :] * k_dim
        K = tl.load(k + k_points, mask=read, other=0.0).to(tl.float32)
        if SAME:
            V = K
        else:
            v_points = tl.multiple_of(point * v_token, ALIGN)[:, None] + dims[None, :] * v_dim
            V = tl.load(v + v_points, mask=read, other=0.0).to(tl.float32)
        logit = tl.where(point >= 0, tl.sum(Q * K, 1), float("-inf"))
        new_highest = tl.maximum(highest, logit)
        kept, weight = tl.exp2(highest - new_highest), tl.exp2(logit - new_highest)
        total = total * kept + weight
        product = product * kept[:, None] + weight[:, None] * V
        highest = new_highest
        paths += path_frame
    h_rows = tl.multiple_of(rows * h_token, ALIGN)[:, None] + dims[None, :] * h_dim
    tl.store(h + h_rows, (product / total[:, None]).to(h.dtype.element_ty), mask=there)
