"""The kernel of flow-guided attention against its reference, interpreted and on a GPU."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.attention.agreement import DTYPES, HEADS, Run, agree
from torch import Tensor

from mive.attention.flow import flow_attention
from mive.conditions.trajectories import trajectories

kernel = pytest.importorskip("mive.attention.flow.triton").flow_attention

SIZE = (5, 7)


def points(paths: Tensor, heads: int = 1, dim: int = 40, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Random q, k and v [2, heads, tokens, d] for ``paths``, laid out as the U-Net's."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, len(paths), heads, dim, generator=generator).to(dtype).transpose(1, 2) for _ in range(3)]


def drift(frames: int) -> Tensor:
    """Trajectories of a grid of cells that drift apart: they meet, end at the border and start anew."""
    flow = torch.randn(frames - 1, 2, 8 * SIZE[0], 8 * SIZE[1], generator=torch.Generator().manual_seed(1)) * 8
    return trajectories(flow, SIZE)


def check(run: Run, *arguments: Tensor) -> Tensor:
    """The kernel's result, which is the reference's."""
    h = run(kernel, *arguments)
    agree(h, flow_attention(*arguments))
    return h


@pytest.mark.parametrize("dim", HEADS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_head_size_and_dtype(run: Run, dtype: torch.dtype, dim: int) -> None:
    paths = drift(3)
    check(run, *points(paths, 2, dim, dtype), paths)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_queries_keys_and_values_may_be_one_tensor(run: Run, dtype: torch.dtype) -> None:
    """As in FLATTEN, where all three are the output of dense attention."""
    paths = drift(4)
    h = points(paths, dtype=dtype)[0]
    check(run, h, h, h, paths)


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_clips_of_any_length(run: Run, frames: int) -> None:
    paths = drift(frames)
    check(run, *points(paths), paths)


def test_one_frame_passes_values_through(run: Run) -> None:
    paths = drift(1)
    q, k, v = points(paths)
    torch.testing.assert_close(check(run, q, k, v, paths), v)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("cells", [1, 31, 32, 33])
def test_sizes_that_are_no_multiple_of_a_tile(run: Run, cells: int, frames: int) -> None:
    tokens = torch.arange(cells * frames)
    paths = tokens[:, None] % cells + torch.arange(frames) * cells
    check(run, *points(paths), paths)


@pytest.mark.parametrize("frames", [2, 5])
def test_trajectories_of_a_single_point_in_any_frame(run: Run, frames: int) -> None:
    tokens = torch.arange(6 * frames)
    paths = torch.where(tokens[:, None] // 6 == torch.arange(frames), tokens[:, None], -1)
    q, k, v = points(paths)
    torch.testing.assert_close(check(run, q, k, v, paths), v)


@pytest.mark.parametrize("sharpness", [0.0, 30.0])
def test_weights_that_are_equal_and_all_on_one_point(run: Run, sharpness: float) -> None:
    paths = drift(3)
    q, k, v = points(paths)
    check(run, q * sharpness, k, v, paths)


def test_any_strides_are_taken(run: Run) -> None:
    paths = drift(3)
    q, k, v = points(paths, heads=2)
    strided = (
        q.mT.contiguous().mT,
        torch.stack([k] * 2, -1)[..., 0],
        v[:1].expand(2, -1, -1, -1),
        paths.T.contiguous().T,
    )
    check(run, *strided)
    assert not any(x.is_contiguous() for x in strided)


def test_the_result_lies_in_memory_as_the_queries_do(run: Run) -> None:
    paths = drift(2)
    q, k, v = points(paths, heads=2)
    assert check(run, q, k, v, paths).stride() == q.stride() != q.contiguous().stride()


@settings(max_examples=8)
@given(st.data())
def test_random_shapes_and_paths(run: Run, data: st.DataObject) -> None:
    """Paths through any tokens, points missing anywhere but at the token itself."""
    cells, frames = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    tokens = cells * frames
    paths = torch.randint(-tokens, tokens, (tokens, frames), generator=generator).clamp(min=-1)
    paths[torch.arange(tokens), torch.arange(tokens) // cells] = torch.arange(tokens)
    heads, dim = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 96))
    check(run, *points(paths, heads, dim, data.draw(st.sampled_from(DTYPES))), paths)


@pytest.mark.slow
@pytest.mark.parametrize("dim", HEADS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_whole_grid(run: Run, dtype: torch.dtype, dim: int) -> None:
    for frames in (1, 2, 5, 16):
        paths = drift(frames)
        q, k, v = points(paths, 1, dim, dtype)
        check(run, q, k, v, paths)
        check(run, v, v, v, paths)
