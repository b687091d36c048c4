"""Checkpoints come one late from a GPU, in order and with nothing missing, and at once from main memory."""

from __future__ import annotations

import torch
from torch import Tensor

from mive.editing.checkpoint import Checkpoint, Copy, Trailing
from mive.method.sampling import State
from mive.method.solvers import Past


def at(position: int, device: str = "meta") -> Checkpoint:
    """With a tensor in every place that has one."""
    z = torch.zeros(2, 4, 3, 3, device=device)
    return Checkpoint(position, (), (z,), State(position, z, z[None], Past(z, 301)))


def test_a_checkpoint_of_a_gpu_is_kept_when_its_copy_is_there_and_the_next_step_under_way() -> None:
    told: list[str] = []

    def copied(checkpoint: Checkpoint) -> Copy | None:
        if all(z.device.type == "cpu" for z in checkpoint.tensors()):
            return None
        told.append(f"copy {checkpoint.window}")
        here = checkpoint.mapped(lambda z: torch.zeros(z.shape))
        return here, lambda: told.append(f"there {checkpoint.window}")

    def keep(checkpoint: Checkpoint) -> None:
        assert all(z.device.type == "cpu" for z in checkpoint.tensors())
        told.append(f"kept {checkpoint.window}")

    trailing = Trailing(keep, copied)
    trailing(at(1))
    assert told == ["copy 1"]
    trailing(at(2))
    assert told[1:] == ["copy 2", "there 1", "kept 1"]
    trailing(at(3, "cpu"))
    assert told[4:] == ["there 2", "kept 2", "kept 3"], "none overtakes another"


def test_checkpoints_in_main_memory_are_kept_at_once_and_as_they_are() -> None:
    kept: list[Checkpoint] = []
    checkpoint = at(1, "cpu")
    Trailing(kept.append)(checkpoint)
    assert kept == [checkpoint]
    Trailing(kept.append)(Checkpoint(2))
    assert kept[1] == Checkpoint(2)


def test_every_tensor_is_mapped() -> None:
    def marked(z: Tensor) -> Tensor:
        return z + 1

    changed = at(3, "cpu").mapped(marked)
    assert len(changed.tensors()) == 4
    assert all((z == 1).all() for z in changed.tensors())
    assert (changed.window, changed.state.position, changed.state.past.t) == (3, 3, 301)  # type: ignore[union-attr]
