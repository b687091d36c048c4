"""The TensorRT engine's own logic, with the torch networks in the place of compiled programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.trt.eager import EagerPrograms

from mive.attention.dense_diffusion import DenseDiffusion
from mive.attention.ipr import ipr_strength
from mive.engines.torch_engine import TorchEngine
from mive.errors import EngineError
from mive.method.denoiser import Call, Conditions
from mive.networks.bundle import Bundle, load_bundle
from mive_trt.buckets import ITEMS, parts
from mive_trt.executor import Port
from mive_trt.runtime import TrtEngine

FRAMES = np.random.default_rng(0).random((3, 64, 64, 3), dtype=np.float32)
CAPTIONS = ("a red ball", "a blue cube", "", "a green cup", "a cone")


@pytest.fixture(scope="module")
def bundle(saved: Path) -> Bundle:
    return load_bundle(saved)


@pytest.fixture
def programs(bundle: Bundle) -> EagerPrograms:
    return EagerPrograms(bundle)


@pytest.fixture
def engines(bundle: Bundle, programs: EagerPrograms) -> tuple[TorchEngine, TrtEngine]:
    eager = TorchEngine(bundle, control_scale=0.7)
    return eager, TrtEngine(eager, programs)


def mattes() -> Iterator[NDArray[np.float32]]:
    """Three frames of two instances; the second leaves after the first."""
    for frame in range(3):
        alpha = np.zeros((2, 64, 64), np.float32)
        alpha[0, : 24 + 8 * frame] = 1
        alpha[1, 48:] = frame == 0
        yield alpha


@pytest.fixture(scope="module")
def conditions(bundle: Bundle) -> Conditions:
    return TorchEngine(bundle).conditions(FRAMES, mattes(), "dis", "flatten", "nearest")


def call(items: int, frames: int = 3, **changes: object) -> Call:
    z = torch.randn(items, frames, 4, 8, 8, generator=torch.Generator().manual_seed(items))
    return replace(Call(z, 501, CAPTIONS[:items], (None,) * items), **changes)  # type: ignore[arg-type]


STEERED = {"instances": (0, 1, None), "modulation": ipr_strength(1, 20, [0.4, 0.3, 0.2], [0.6, 0.5, 0.4])}
CALLS: dict[str, Callable[[], Call]] = {
    "one item": lambda: call(1),
    "items between two sizes": lambda: call(3),
    "instances beside the unconditional branch": lambda: call(3, **STEERED),
    "no ControlNet": lambda: call(2, control=False),
    "frames on their own": lambda: call(1, inflated=False, control=False),
    "frames on their own with ControlNet": lambda: call(2, inflated=False),
}


@pytest.mark.parametrize("flow", [True, False], ids=["flow", "no flow"])
@pytest.mark.parametrize("name", CALLS)
def test_programs_give_what_torch_gives(
    engines: tuple[TorchEngine, TrtEngine], conditions: Conditions, name: str, flow: bool
) -> None:
    eager, programs = engines
    wanted = CALLS[name]()
    if not flow:
        conditions = replace(conditions, trajectories={})
    torch.testing.assert_close(
        programs.output(wanted, conditions), eager.output(wanted, conditions), atol=1e-5, rtol=1e-4
    )


def test_a_batch_is_padded_to_the_next_size(
    engines: tuple[TorchEngine, TrtEngine], conditions: Conditions, programs: EagerPrograms
) -> None:
    engines[1].output(call(3), conditions)
    assert programs.runs() == {("controlnet", (4, 3, 8, 8)): 1, ("unet", (4, 3, 8, 8)): 1}
    engines[1].output(call(4), conditions)
    assert programs.runs() == {("controlnet", (4, 3, 8, 8)): 2, ("unet", (4, 3, 8, 8)): 2}


def test_padding_changes_no_item(engines: tuple[TorchEngine, TrtEngine], conditions: Conditions) -> None:
    whole = call(4)
    first = replace(whole, z=whole.z[:3], captions=whole.captions[:3], instances=whole.instances[:3])
    torch.testing.assert_close(
        engines[1].output(first, conditions), engines[1].output(whole, conditions)[:3], atol=1e-5, rtol=1e-4
    )


@given(st.integers(1, 100))
def test_parts_hold_every_item_once(items: int) -> None:
    cut = list(parts(items))
    assert [i for part in cut for i in range(part.first, part.last)] == list(range(items))
    assert all(part.size in ITEMS and part.padding >= 0 for part in cut)
    assert all(part.padding == 0 for part in cut[:-1])


@pytest.mark.parametrize(
    ("items", "sizes"), [(1, [1]), (2, [2]), (3, [4]), (5, [8]), (16, [16]), (17, [16, 1]), (40, [16, 16, 8])]
)
def test_sizes_of_parts(items: int, sizes: list[int]) -> None:
    assert [part.size for part in parts(items)] == sizes


def test_pictures_are_decoded_four_at_a_time(engines: tuple[TorchEngine, TrtEngine], programs: EagerPrograms) -> None:
    z = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(engines[1].decode(z), engines[0].decode(z), atol=1e-5)
    assert programs.runs() == {("vae_decoder", (4, 1, 8, 8)): 2}


def test_what_stays_the_same_is_not_made_again(engines: tuple[TorchEngine, TrtEngine], conditions: Conditions) -> None:
    """No masks, no strengths and no residuals: one tensor for each shape, in all steps."""
    engine = engines[1]
    engine.output(call(1, control=False), conditions)
    kept = {port: x.data_ptr() for port, x in engine._zeros.items()}
    engine.output(call(1, control=False), conditions)
    assert kept
    assert {port: x.data_ptr() for port, x in engine._zeros.items()} == kept


def test_a_result_outlives_the_next_run(engines: tuple[TorchEngine, TrtEngine], conditions: Conditions) -> None:
    first = engines[1].output(call(1), conditions)
    before = first.clone()
    engines[1].output(call(1, t=3), conditions)
    assert torch.equal(first, before)


@pytest.mark.parametrize(
    ("changes", "setting"),
    [({"instances": (0,), "modulation": DenseDiffusion(900)}, "dense_diffusion"), ({}, "old_qk"), ({}, "pooled")],
    ids=["dense_diffusion", "old_qk", "pooled"],
)
def test_ablations_without_programs_are_refused(
    engines: tuple[TorchEngine, TrtEngine], conditions: Conditions, changes: dict[str, object], setting: str
) -> None:
    if setting == "old_qk":
        conditions = replace(conditions, flow_attention="old_qk")
    if setting == "pooled":
        conditions = replace(conditions, pooled=frozenset(conditions.masks))
    with pytest.raises(EngineError, match=f"{setting}.*--engine torch"):
        engines[1].output(call(1, **changes), conditions)


def test_a_program_of_another_size_is_refused(
    engines: tuple[TorchEngine, TrtEngine], conditions: Conditions, programs: EagerPrograms, bundle: Bundle
) -> None:
    engines[1].output(call(1), conditions)
    for program in programs.made.values():
        program.inputs = {**program.inputs, "z": Port((1, 2, 3, 4), torch.float32)}
    with pytest.raises(EngineError, match="mive-trt clean"):
        engines[1].output(call(1), conditions)
