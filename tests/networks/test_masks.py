"""Instance masks at other sizes: disjoint, and never gone."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mive.networks.masks import mask_pyramid, resize_masks, select_masks
from mive.settings import MaskCells


@st.composite
def layers(draw: st.DrawFn) -> Tensor:
    """Disjoint masks [M, 2, H, W] of boxes from one pixel to the whole frame."""
    height, width = draw(st.integers(3, 40)), draw(st.integers(3, 40))
    count = draw(st.integers(1, 4))
    owner = torch.full((2, height, width), -1)
    for frame in range(2):
        for m in range(count):
            top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
            bottom = top + draw(st.integers(0, height))
            owner[frame, top:bottom, left : left + draw(st.integers(0, width))] = m
    return torch.stack([owner == m for m in range(count)])


@given(
    masks=layers(),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    cells=st.sampled_from(["nearest", "touched"]),
)
def test_disjoint_masks_stay_disjoint_and_do_not_vanish(masks: Tensor, size: tuple[int, int], cells: MaskCells) -> None:
    small = resize_masks(masks, size, cells)
    assert small.shape == (*masks.shape[:2], *size)
    assert (small.sum(0) <= 1).all()
    touched = torch.nn.functional.adaptive_max_pool2d(masks.float(), size) > 0
    for m, n in ((m, n) for m in range(len(masks)) for n in range(2)):
        if not masks[m, n].any():
            assert not small[m, n].any()
        elif not small[m, n].any():
            # No room at all: each cell it touches is some other instance's only one.
            only = (small[:, n].flatten(1).sum(1) == 1)[:, None, None]
            assert ((small[:, n] & only).any(0) | ~touched[m, n]).all()


def test_nearest_takes_the_cell_centre() -> None:
    mask = torch.zeros(1, 1, 4, 8, dtype=torch.bool)
    mask[..., :2, :4] = True
    assert resize_masks(mask, (2, 2))[0, 0].tolist() == [[True, False], [False, False]]
    assert torch.equal(resize_masks(resize_masks(mask, (8, 16)), (4, 8)), mask)


def test_touched_takes_every_cell_with_an_eighth_of_it_and_the_most_covering_instance() -> None:
    masks = torch.zeros(2, 1, 8, 12, dtype=torch.bool)
    masks[0, 0, :, :5], masks[1, 0, :, 5:9] = True, True
    small = resize_masks(masks, (1, 3), "touched")
    assert small[:, 0, 0].tolist() == [[True, False, False], [False, True, True]]
    masks[1, 0, :4, 8], masks[1, 0, 5:, 8] = False, False
    assert not resize_masks(masks, (1, 3), "touched")[1, 0, 0, 2]


def test_an_instance_smaller_than_a_cell_gets_the_cell() -> None:
    mask = torch.zeros(1, 2, 64, 96, dtype=torch.bool)
    mask[0, 0, 1, 1] = True
    small = resize_masks(mask, (8, 12))
    assert small[0, 0].nonzero().tolist() == [[0, 0]]
    assert not small[0, 1].any()


def test_a_small_instance_takes_a_cell_from_a_large_one_only() -> None:
    masks = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    masks[0] = True
    masks[1, 0, 0, 0] = True
    masks[2, 0, 0, 1] = True
    masks[0] &= ~masks[1] & ~masks[2]
    small = resize_masks(masks, (2, 2))
    # Both small ones touch the first cell only; it goes to one of them, and stays there.
    assert small[:, 0].flatten(1).sum(1).tolist() == [3, 0, 1]


def test_overlaps_go_to_the_later_instance() -> None:
    masks = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    masks[0, ..., :6], masks[1, ..., 4:] = True, True
    small = resize_masks(masks, (4, 4))
    assert small[:, 0, 0].tolist() == [[True, True, False, False], [False, False, True, True]]


def test_soft_mattes_are_cut_at_one_half_or_at_their_peak() -> None:
    matte = torch.zeros(1, 2, 4, 4)
    matte[0, 0, 0] = torch.tensor([0.2, 0.4, 0.6, 0.8])
    matte[0, 1, 0] = torch.tensor([0.0, 0.1, 0.3, 0.1])
    cut = resize_masks(matte, (4, 4))[0, :, 0]
    assert cut.tolist() == [[False, False, True, True], [False, False, True, False]]


def test_items_pick_their_instance_from_a_pyramid() -> None:
    masks = torch.zeros(2, 3, 8, 16, dtype=torch.bool)
    masks[0, ..., :8], masks[1, ..., 8:] = True, True
    picked = select_masks(mask_pyramid(masks, [(8, 16), (4, 8)]), [None, 1, 0])
    assert set(picked) == {(8, 16), (4, 8)}
    assert picked[4, 8].shape == (3, 3, 4, 8)
    assert not picked[4, 8][0].any()
    assert torch.equal(picked[8, 16][1:], masks.flip(0))
