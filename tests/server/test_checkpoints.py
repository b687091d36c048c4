"""Checkpoints that are there whenever they are needed."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mive.editing.checkpoint import Checkpoint
from mive.editing.framing import View
from mive.editing.views import Layer
from mive.errors import OutputError
from mive.method.sampling import State
from mive.method.solvers import Past
from mive.request import FrameRange
from mive.server.checkpoints import Checkpoints, Stored

VIEW = View(
    frames=FrameRange(4, 8), width=48, height=32, corners=tuple((left, 3) for left in range(5)),
    model_width=96, model_height=64, instances=(2, 7),
)  # fmt: skip


def layer(z: torch.Tensor) -> Layer:
    return Layer(VIEW, z, tuple(0.25 * number for number in range(1, len(z) + 1)))


BETWEEN = Checkpoint(3, (layer(torch.ones(1, 4, 2, 2)), layer(torch.ones(3, 4, 4, 2))))


def a_checkpoint(position: int, window: int = 1) -> Checkpoint:
    torch.manual_seed(position)
    fused = torch.randn(3, 4, 8, 8) if position % 2 else None
    instances = None if position % 2 else torch.randn(2, 3, 4, 8, 8)
    past = Past(torch.randn(3, 4, 8, 8), 301) if position % 3 == 1 else None
    edited = tuple(torch.randn(3, 4, 8, 8) for _ in range(position % 3))
    return Checkpoint(window, (layer(torch.randn(1, 4, 8, 8)),), edited, State(position, fused, instances, past))


def same(stored: Stored | None, checkpoint: Checkpoint, frames: int) -> bool:
    assert stored is not None
    state, wanted = stored.checkpoint.state, checkpoint.state
    for back, kept in zip(stored.checkpoint.carried, checkpoint.carried, strict=True):
        assert (back.view, back.weights) == (kept.view, kept.weights)
    pairs: list[tuple[torch.Tensor | None, torch.Tensor | None]] = []
    pairs += [(back.z, kept.z) for back, kept in zip(stored.checkpoint.carried, checkpoint.carried, strict=True)]
    pairs += zip(stored.checkpoint.edited, checkpoint.edited, strict=True)
    assert (state is None) == (wanted is None)
    if state is not None and wanted is not None:
        assert state.position == wanted.position
        pairs += [(state.fused, wanted.fused), (state.instances, wanted.instances)]
        kept, past = state.past, wanted.past
        assert (kept and kept.t) == (past and past.t)
        pairs += [(kept and kept.clean, past and past.clean)]
    equal = all(a is b is None or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)
    return equal and (stored.checkpoint.window, stored.frames) == (checkpoint.window, frames)


@pytest.mark.parametrize(
    "checkpoint",
    [
        a_checkpoint(3),
        a_checkpoint(2),
        a_checkpoint(4),
        Checkpoint(3, (layer(torch.ones(1, 4, 2, 2)), layer(torch.ones(3, 4, 4, 2)))),
        Checkpoint(0),
    ],
    ids=["fused", "instances", "with a past", "between windows", "start"],
)
def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path, checkpoint: Checkpoint) -> None:
    Checkpoints(tmp_path / "job", "id").save(checkpoint, 12)
    assert same(Checkpoints(tmp_path / "job", "id").load(), checkpoint, 12)


def test_parts_of_larger_tensors_are_kept_alone(tmp_path: Path) -> None:
    z = torch.randn(64, 4, 8, 8)
    checkpoints = Checkpoints(tmp_path / "job", "id")
    checkpoints.save(Checkpoint(1, (layer(z[60:]),)), 60)
    assert same(checkpoints.load(), Checkpoint(1, (layer(z[60:]),)), 60)
    (file,) = (tmp_path / "job").iterdir()
    assert file.stat().st_size < z.nbytes / 8


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "job", "id")
    for position in range(1, 12):
        checkpoints.save(a_checkpoint(position), position)
        assert same(checkpoints.load(), a_checkpoint(position), position)
    assert len(list((tmp_path / "job").iterdir())) == 2
    checkpoints.clear()
    assert not (tmp_path / "job").exists()
    assert checkpoints.load() is None


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """The folder of two checkpoints, at step 1 and step 2."""
    for position in (1, 2):
        Checkpoints(tmp_path / "job", "id").save(a_checkpoint(position), position)
    return tmp_path / "job"


def lengths(size: int, count: int = 100) -> Iterator[int]:
    yield from np.random.default_rng(0).integers(0, size, count).tolist()


def test_a_checkpoint_torn_at_100_points_leaves_the_earlier_one(two: Path) -> None:
    newest = max(two.iterdir())
    whole = newest.read_bytes()
    for length in lengths(len(whole)):
        newest.write_bytes(whole[:length])
        assert same(Checkpoints(two, "id").load(), a_checkpoint(1), 1)


def test_a_write_killed_at_100_points_leaves_the_newest_one(two: Path) -> None:
    """The next one is written aside, so what is torn there bears no checkpoint's name."""
    whole = max(two.iterdir()).read_bytes()
    for length in lengths(len(whole)):
        aside = two / ".00000003.ckpt.77.abcd.part"
        aside.write_bytes(whole[:length])
        assert same(Checkpoints(two, "id").load(), a_checkpoint(2), 2)


def test_a_damaged_byte_anywhere_leaves_the_earlier_one(two: Path) -> None:
    newest = max(two.iterdir())
    whole = newest.read_bytes()
    for place in lengths(len(whole)):
        newest.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert same(Checkpoints(two, "id").load(), a_checkpoint(1), 1)


def test_another_edits_checkpoints_are_none(two: Path) -> None:
    assert Checkpoints(two, "other").load() is None
    assert Checkpoints(two.parent / "nowhere", "id").load() is None


def test_a_full_disk_leaves_the_earlier_ones(two: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match="no space left to write checkpoint"):
            Checkpoints(two, "id").save(a_checkpoint(3), 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert same(Checkpoints(two, "id").load(), a_checkpoint(2), 2)
    assert len(list(two.iterdir())) == 2
