"""Trajectories of attention cells by optical flow."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mive.conditions.trajectories import trajectories


def constant(frames: int, size: tuple[int, int], dx: float, dy: float) -> Tensor:
    return torch.tensor([dx, dy]).reshape(1, 2, 1, 1).expand(frames - 1, 2, *size).clone()


def test_no_motion_stays_in_place() -> None:
    paths = trajectories(constant(3, (64, 96), 0, 0), (2, 3))
    assert paths[:6].tolist() == [[i, i + 6, i + 12] for i in range(6)]
    assert torch.equal(paths, paths[:6].repeat(3, 1))


def test_motion_is_scaled_to_cells_on_each_axis() -> None:
    # 32 pixels a frame to the right are one of 3 cells of a frame 96 wide.
    paths = trajectories(constant(2, (64, 96), 32, 0), (2, 3))
    assert paths[:6].tolist() == [[0, 7], [1, 8], [2, -1], [3, 10], [4, 11], [5, -1]]
    assert paths[6:].tolist() == [[-1, 6], [0, 7], [1, 8], [-1, 9], [3, 10], [4, 11]]
    # 30 pixels down are 0.94 of a cell.
    paths = trajectories(constant(2, (64, 96), 0, 30), (2, 3))
    assert paths[:6].tolist() == [[0, 9], [1, 10], [2, 11], [3, -1], [4, -1], [5, -1]]


def test_of_two_sources_the_one_closest_to_the_cell_centre_goes_on() -> None:
    flow = torch.zeros(1, 2, 1, 3)
    flow[0, 0, 0] = torch.tensor([1.3, -0.2, -0.9])  # cell 0 -> 1.3, 1 -> 0.8, 2 -> 1.1
    paths = trajectories(flow, (1, 3))
    assert paths.tolist() == [[0, -1], [1, -1], [2, 4], [-1, 3], [2, 4], [-1, 5]]


def test_a_tie_goes_to_the_first_cell() -> None:
    flow = torch.zeros(1, 2, 1, 3)
    flow[0, 0, 0] = torch.tensor([1.0, 0.0, -1.0])
    assert trajectories(flow, (1, 3))[:3].tolist() == [[0, 4], [1, -1], [2, -1]]


def test_flow_that_is_not_finite_ends_a_trajectory() -> None:
    flow = torch.zeros(1, 2, 1, 2)
    flow[0, 1, 0, 0] = torch.nan
    flow[0, 0, 0, 1] = torch.inf
    assert trajectories(flow, (1, 2)).tolist() == [[0, -1], [1, -1], [-1, 2], [-1, 3]]


def test_one_frame_has_trajectories_of_one_point() -> None:
    assert trajectories(torch.zeros(0, 2, 8, 8), (2, 2)).tolist() == [[0], [1], [2], [3]]


@given(
    frames=st.integers(2, 5),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    seed=st.integers(0, 2**31),
    reach=st.floats(0, 30),
)
def test_trajectories_are_disjoint_paths_through_frames(
    frames: int, size: tuple[int, int], seed: int, reach: float
) -> None:
    flow = torch.randn(frames - 1, 2, 20, 30, generator=torch.Generator().manual_seed(seed))
    paths = trajectories(flow * reach, size)
    cells = size[0] * size[1]
    assert paths.shape == (frames * cells, frames)
    for frame in range(frames):
        column = paths[:, frame]
        there = column >= 0
        assert (column[there] // cells == frame).all()
        own = slice(frame * cells, (frame + 1) * cells)
        assert torch.equal(column[own], torch.arange(frames * cells)[own])
        # Whoever is on my trajectory has the same trajectory as I have.
        assert torch.equal(paths[column[there]], paths[there])
    for row in paths:
        on = torch.nonzero(row >= 0).flatten()
        assert (on.diff() == 1).all()
