"""Flow-guided attention, against FLATTEN's published module and against itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor

from mive.attention.flow import flow_attention, reference
from mive.conditions.trajectories import trajectories
from mive.networks.unet.frames import FrameContext, FrameInputs
from mive.networks.unet.processors import SelfAttentionProcessor

Shared = Callable[[str], Path]


def quadrant_flow(rows: np.ndarray, frames: int) -> Tensor:
    """Flow of a 512x512 frame whose quadrants (row, column, dx, dy) drift apart."""
    flow = torch.zeros(frames - 1, 2, 512, 512)
    for row, column, dx, dy in rows.tolist():
        area = (..., slice(int(row), int(row) + 256), slice(int(column), int(column) + 256))
        flow[:, 0][area], flow[:, 1][area] = dx, dy
    return flow


@pytest.mark.parametrize("r", [16, 8])
def test_trajectories_are_the_published_ones(shared: Shared, r: int) -> None:
    known = np.load(shared("known_answers/flatten.npz"))
    ours = trajectories(quadrant_flow(known["flow_quadrants"], 4), (r, r))
    scale = np.array([r * r, r, 1])
    others, valid = known[f"r{r}_others"] @ scale, known[f"r{r}_others_valid"]
    for itself, row, ok, mine in zip(known[f"r{r}_self"] @ scale, others, valid, ours, strict=True):
        assert {int(itself), *row[ok].tolist()} == {int(p) for p in mine if p >= 0}
        assert mine[itself // (r * r)] == itself


@pytest.mark.parametrize("old_qk", [0, 1])
@pytest.mark.parametrize(("r", "heads"), [(16, 2), (8, 4)])
def test_whole_self_attention_is_the_published_one(shared: Shared, r: int, heads: int, old_qk: int) -> None:
    known = np.load(shared("known_answers/flatten.npz"))
    prefix = f"r{r}_qk{old_qk}_"
    context = FrameContext()
    attention = Attention(
        32,
        heads=heads,
        dim_head=32 // heads,
        processor=SelfAttentionProcessor(context, "all", True),
    )
    attention.load_state_dict({name: torch.from_numpy(known[prefix + name]) for name in attention.state_dict()})
    context.size = (r, r)
    inputs = FrameInputs(
        frames=4,
        trajectories={(r, r): trajectories(quadrant_flow(known["flow_quadrants"], 4), (r, r))},
        flow_attention="old_qk" if old_qk else "flatten",
    )
    with torch.no_grad(), context.given(inputs):
        y = attention(torch.from_numpy(known[prefix + "x"]))
    torch.testing.assert_close(y, torch.from_numpy(known[prefix + "y"]), atol=1e-6, rtol=0)


def test_each_point_sees_its_trajectory_only() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, 6, 4, generator=generator) for _ in range(3))
    # Three tokens a frame: 0 goes to 4, 1 ends, 2 goes to 3, 5 starts.
    paths = torch.tensor([[0, 4], [1, -1], [2, 3], [2, 3], [0, 4], [-1, 5]])
    allowed = torch.zeros(6, 6, dtype=torch.bool)
    for token, path in enumerate(paths):
        allowed[token, path[path >= 0]] = True
    dense = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
    torch.testing.assert_close(flow_attention(q, k, v, paths), dense)


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 2, 12, 4, generator=generator) for _ in range(3))
    paths = trajectories(torch.zeros(2, 2, 2, 2), (2, 2))
    whole = flow_attention(q, k, v, paths)
    monkeypatch.setattr(reference, "_GATHERED_PER_CHUNK", 5 * 2 * 2 * 4 * 3)
    assert torch.equal(flow_attention(q, k, v, paths), whole)
