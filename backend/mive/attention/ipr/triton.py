"""IPR in two Triton kernels: the reference's numbers without a map of hw x L probabilities in memory.

All L keys fit one tile, so a program holds whole rows of A. The only coupling between rows is λ_S, which
needs the mean and minimum of A_S over an instance's pixels: `measure` computes that one column first, for
tiles with such pixels only, and leaves three numbers per tile. `attend` then does all the rest at once.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from mive.attention.ipr.reference import IprStrength
from mive.attention.launch import Launch
from mive.attention.roles import TokenRoles
from mive.attention.tiles import adjacent_rows, alignment, ipr_tile


def ipr_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, roles: TokenRoles, strength: IprStrength) -> Tensor:
    """What `mive.attention.ipr.reference.ipr_attention` returns, for a whole batch in one launch.

    Rows that are not to be modulated have an empty mask and get plain attention. Beyond the reference's
    arguments, k, v, roles and strength may have any number of rows that divides B, say one per item where q
    has one per frame: each then stands for that many adjacent rows of q. Any strides are taken.

    Args:
        q: [B, heads, hw, d] in float16, bfloat16 or float32.
        k, v: [B, heads, L, d] of q's dtype; L is at most `mive.attention.tiles.MAX_KEYS`.
        mask, roles, strength: as in the reference.

    Returns:
        h [B, heads, hw, d] in q's dtype, accumulated in float32, laid out as q is if q has no gaps.

    Raises:
        ValueError: a number of rows that does not divide B.
    """
    h, partial = torch.empty_like(q), partial_of(q, k)
    numbers = (strength.t_ratio, strength.warm_up, strength.lambda_r)
    steering = (roles.n_text.to(q.device), *(x.to(q.device, torch.float32).reshape(-1) for x in numbers))
    with torch.cuda.device_of(q):  # type: ignore[no-untyped-call]
        for launch in ipr_launches(
            q, k, v, h, mask.expand(len(q), -1), partial, steering, bounded=strength.mode == "bounded"
        ):
            launch()
    return h


def partial_of(q: Tensor, k: Tensor) -> Tensor:
    """Memory for what `measure` leaves to `attend`: float32 [B, heads, tiles, 3]."""
    batch, heads, pixels, dim = q.shape
    tiles = triton.cdiv(pixels, ipr_tile(dim, k.shape[2], q.dtype).rows)
    return torch.empty(batch, heads, tiles, 3, dtype=torch.float32, device=q.device)


def ipr_launches(
    q: Tensor, k: Tensor, v: Tensor, h: Tensor, mask: Tensor, partial: Tensor, steering: tuple[Tensor, ...],
    *, bounded: bool,
) -> tuple[Launch, Launch]:  # fmt: skip
    """Both launches of one op, in order; tensors on the device "meta" do to know them.

    Args:
        q, k, v, mask, bounded: as `ipr_attention` has them, mask with all B rows.
        h: the result's memory.
        partial: of `partial_of`.
        steering: n_text, t_ratio, warm_up, lambda_r, each with a number of rows that divides B.

    Raises:
        ValueError: a number of rows that does not divide B.
    """
    batch, heads, pixels, dim = q.shape
    length = k.shape[2]
    tile = ipr_tile(dim, length, q.dtype)
    tiles = partial.shape[2]
    sizes = (pixels, length, math.log2(math.e) * dim**-0.5)
    constants = {
        "DIM": dim,
        "ROWS": tile.rows,
        "KEYS": tile.keys,
        "PIECE": tile.piece,
        "ALIGN": alignment(q, k, v, h),
        "WIDEN": triton.knobs.runtime.interpret and q.dtype == torch.bfloat16,
    }
    measuring = (
        *(q, k, mask, partial),
        *(*q.stride(), *k.stride(), *mask.stride()),
        *sizes,
        adjacent_rows(batch, k),
    )
    attending = (
        *(q, k, v, h, mask, partial, *steering),
        *(*q.stride(), *k.stride(), *v.stride(), *h.stride(), *mask.stride()),
        *sizes,
        *(adjacent_rows(batch, x) for x in (k, v, *steering)),
    )
    more = {"PARTS": triton.next_power_of_2(tiles), "BOUNDED": bounded}
    grid = (tiles, heads, batch)
    return (
        Launch(measure, grid, measuring, constants, tile.warps),
        Launch(attend, grid, attending, {**more, **constants}, tile.warps),
    )


@triton.jit
def dot(a: tl.tensor, b: tl.tensor, WIDEN: tl.constexpr) -> tl.tensor:
    """a·b in float32; WIDEN is for the interpreter, whose numpy multiplies no bfloat16."""
    if WIDEN:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def probabilities(
    q: tl.tensor,
    q_dim: tl.tensor,
    row_there: tl.tensor,
    k: tl.tensor,
    k_dim: tl.tensor,
    token_there: tl.tensor,
    scale: tl.tensor,
    DIM: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    PIECE: tl.constexpr,
    WIDEN: tl.constexpr,
) -> tl.tensor:
    """A = softmax(q·k/√d) of a tile, float32 [ROWS, KEYS].

    ``q`` points to the tile's rows, [ROWS, 1], ``k`` to its tokens, [1, KEYS]; ``scale`` is log2(e)/√d.
    """
    logits = tl.zeros((ROWS, KEYS), tl.float32)
    for first in tl.static_range(0, DIM, PIECE):
        dims = first + tl.arange(0, PIECE).to(tl.int64)
        dim_there = dims < DIM
        q_piece = tl.load(q + dims[None, :] * q_dim, mask=row_there[:, None] & dim_there[None, :], other=0.0)
        k_piece = tl.load(k + dims[:, None] * k_dim, mask=dim_there[:, None] & token_there[None, :], other=0.0)
        logits += dot(q_piece, k_piece, WIDEN)
    logits = tl.where(token_there[None, :], logits * scale, float("-inf"))
    weights = tl.exp2(logits - tl.max(logits, 1)[:, None])
    return weights / tl.sum(weights, 1)[:, None]


@triton.jit
def measure(
    q: tl.tensor,
    k: tl.tensor,
    mask: tl.tensor,
    partial: tl.tensor,
    q_batch: tl.tensor,
    q_head: tl.tensor,
    q_pixel: tl.tensor,
    q_dim: tl.tensor,
    k_batch: tl.tensor,
    k_head: tl.tensor,
    k_token: tl.tensor,
    k_dim: tl.tensor,
    mask_batch: tl.tensor,
    mask_pixel: tl.tensor,
    pixels: tl.tensor,
    length: tl.tensor,
    scale: tl.tensor,
    rows_of_k: tl.tensor,
    DIM: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    PIECE: tl.constexpr,
    ALIGN: tl.constexpr,
    WIDEN: tl.constexpr,
) -> None:
    """Sum, minimum and number of A_S over the masked pixels of a tile, to partial [B, heads, tiles, 3]."""
    # Offsets are 64 bits wide throughout: a long clip's tensors pass 2^31 numbers.
    head, batch = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    tokens = tl.arange(0, KEYS)
    inside = tl.load(mask + batch * mask_batch + rows * mask_pixel, mask=rows < pixels, other=0) != 0
    count = tl.sum(inside.to(tl.int32), 0)
    place = partial + ((batch * tl.num_programs(1) + head) * tl.num_programs(0) + tl.program_id(0)) * 3
    tl.store(place + 2, count.to(tl.float32))
    if count > 0:
        q += tl.multiple_of(batch * q_batch + head * q_head, ALIGN)
        k += tl.multiple_of(batch // rows_of_k * k_batch + head * k_head, ALIGN)
        A = probabilities(
            q + tl.multiple_of(rows * q_pixel, ALIGN)[:, None],
            q_dim,
            rows < pixels,
            k + tl.multiple_of(tokens.to(tl.int64) * k_token, ALIGN)[None, :],
            k_dim,
            tokens < length,
            scale,
            DIM,
            ROWS,
            KEYS,
            PIECE,
            WIDEN,
        )
        A_S = tl.sum(tl.where((tokens == 0)[None, :], A, 0.0), 1)
        tl.store(place, tl.sum(tl.where(inside, A_S, 0.0), 0))
        tl.store(place + 1, tl.min(tl.where(inside, A_S, 1.0), 0))
    else:
        tl.store(place, 0.0)
        tl.store(place + 1, 1.0)


@triton.jit
def attend(
    q: tl.tensor,
    k: tl.tensor,
    v: tl.tensor,
    h: tl.tensor,
    mask: tl.tensor,
    partial: tl.tensor,
    n_text: tl.tensor,
    t_ratio: tl.tensor,
    warm_up: tl.tensor,
    lambda_r: tl.tensor,
    q_batch: tl.tensor,
    q_head: tl.tensor,
    q_pixel: tl.tensor,
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
    h_pixel: tl.tensor,
    h_dim: tl.tensor,
    mask_batch: tl.tensor,
    mask_pixel: tl.tensor,
    pixels: tl.tensor,
    length: tl.tensor,
    scale: tl.tensor,
    rows_of_k: tl.tensor,
    rows_of_v: tl.tensor,
    rows_of_n_text: tl.tensor,
    rows_of_t_ratio: tl.tensor,
    rows_of_warm_up: tl.tensor,
    rows_of_lambda_r: tl.tensor,
    PARTS: tl.constexpr,
    BOUNDED: tl.constexpr,
    DIM: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    PIECE: tl.constexpr,
    ALIGN: tl.constexpr,
    WIDEN: tl.constexpr,
) -> None:
    """Softmax, redistribution (Eq. 6, 7) and the product with V for one tile of queries."""
    head, batch = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    tokens = tl.arange(0, KEYS)
    row_there, token_there = rows < pixels, tokens < length
    q += tl.multiple_of(batch * q_batch + head * q_head, ALIGN)
    k += tl.multiple_of(batch // rows_of_k * k_batch + head * k_head, ALIGN)
    v += tl.multiple_of(batch // rows_of_v * v_batch + head * v_head, ALIGN)
    h += tl.multiple_of(batch * h_batch + head * h_head, ALIGN)
    A = probabilities(
        q + tl.multiple_of(rows * q_pixel, ALIGN)[:, None],
        q_dim,
        row_there,
        k + tl.multiple_of(tokens.to(tl.int64) * k_token, ALIGN)[None, :],
        k_dim,
        token_there,
        scale,
        DIM,
        ROWS,
        KEYS,
        PIECE,
        WIDEN,
    )

    parts = tl.arange(0, PARTS)
    part_there = parts < tl.num_programs(0)
    partial += (batch * tl.num_programs(1) + head) * tl.num_programs(0) * 3
    total = tl.sum(tl.load(partial + parts * 3, mask=part_there, other=0.0), 0)
    low = tl.min(tl.load(partial + parts * 3 + 1, mask=part_there, other=1.0), 0)
    count = tl.sum(tl.load(partial + parts * 3 + 2, mask=part_there, other=0.0), 0)

    inside = tl.load(mask + batch * mask_batch + rows * mask_pixel, mask=row_there, other=0) != 0
    outside = tl.where(inside, 0.0, count) > 0
    W = tl.load(warm_up + batch // rows_of_warm_up)
    mean = total / tl.maximum(count, 1.0)
    amount = tl.minimum(mean, low + W) if BOUNDED else tl.minimum(mean, low) + W
    is_start = tokens == 0
    A_S = tl.sum(tl.where(is_start[None, :], A, 0.0), 1)
    lambda_s = tl.minimum(tl.load(t_ratio + batch // rows_of_t_ratio) * amount, A_S)
    lambda_s = tl.where(inside, lambda_s, 0.0)

    N_T = tl.load(n_text + batch // rows_of_n_text).to(tl.int32)
    to_text = tl.where(N_T > 0, tl.load(lambda_r + batch // rows_of_lambda_r), 0.0)
    share = tl.where((tokens >= 1) & (tokens <= N_T), to_text / tl.maximum(N_T, 1).to(tl.float32), 0.0)
    share += tl.where(tokens == N_T + 1, 1.0 - to_text, 0.0) - tl.where(is_start, 1.0, 0.0)
    caption = (tokens <= N_T + 1)[None, :]
    freed = tl.sum(tl.where(caption, A, 0.0), 1)
    A = tl.where(outside[:, None] & caption, 0.0, A) + lambda_s[:, None] * share[None, :]
    A = tl.where(outside[:, None] & is_start[None, :], freed[:, None], A).to(v.dtype.element_ty)

    v_rows = v + tl.multiple_of(tokens.to(tl.int64) * v_token, ALIGN)[:, None]
    h_rows = h + tl.multiple_of(rows * h_pixel, ALIGN)[:, None]
    for first in tl.static_range(0, DIM, PIECE):
        dims = first + tl.arange(0, PIECE).to(tl.int64)
        v_there = token_there[:, None] & (dims < DIM)[None, :]
        h_there = row_there[:, None] & (dims < DIM)[None, :]
        v_piece = tl.load(v_rows + dims[None, :] * v_dim, mask=v_there, other=0.0)
        tl.store(h_rows + dims[None, :] * h_dim, dot(A, v_piece, WIDEN).to(h.dtype.element_ty), mask=h_there)
