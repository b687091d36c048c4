"""Joint passes and shared ControlNets of the torch engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from mive.attention.flow import flow_attention
from mive.attention.ipr import IprStrength, ipr_attention, ipr_strength
from mive.attention.kernels import kernels_are
from mive.attention.modulation import Kernels
from mive.attention.roles import TokenRoles
from mive.engines.torch_engine import TorchEngine
from mive.method.denoiser import Call, Conditions
from mive.networks.bundle import load_bundle
from mive.networks.unet.frames import FrameContext, FrameInputs
from mive.networks.unet.processors import CrossAttentionProcessor

FRAMES = np.random.default_rng(0).random((2, 64, 64, 3), dtype=np.float32)
CAPTIONS = ("a red ball", "a blue cube")
Mattes = tuple[tuple[int, int], ...]
"""First and last row of each instance."""

APART: Mattes = ((0, 32), (40, 64))


@pytest.fixture(scope="module")
def engine(bundle: Path) -> TorchEngine:
    return TorchEngine(load_bundle(bundle))


@pytest.fixture
def deaf(engine: TorchEngine) -> TorchEngine:
    """Its ControlNet hears no captions."""
    return TorchEngine(engine.bundle, control_caption="empty")


def look(engine: TorchEngine, rows: Mattes = APART) -> Conditions:
    def mattes() -> Iterator[NDArray[np.float32]]:
        for _ in range(2):
            alpha = np.zeros((len(rows), 64, 64), np.float32)
            for i, (first, last) in enumerate(rows):
                alpha[i, first:last] = 1
            yield alpha

    return engine.conditions(FRAMES, mattes(), "dis", "flatten", "nearest")


def latents(items: int = 1) -> Tensor:
    return torch.randn(items, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("steered", [True, False])
@pytest.mark.parametrize("kind", ["own", "empty"])
def test_one_instance_everywhere_is_a_plain_pass(
    engine: TorchEngine, deaf: TorchEngine, steered: bool, kind: str
) -> None:
    used = deaf if kind == "empty" else engine
    conditions = look(engine, ((0, 64),))
    alone = Call(latents(), 501, CAPTIONS[:1], (0 if steered else None,), ipr_strength(1, 20, 0.4, 0.6))
    joint = replace(alone, joint=True, modulation=ipr_strength(1, 20, [0.4, 0.4], 0.6))
    torch.testing.assert_close(used.output(joint, conditions), used.output(alone, conditions), atol=1e-5, rtol=1e-5)


def test_a_caption_reaches_its_own_pixels_most(engine: TorchEngine) -> None:
    """Other pixels see it through self-attention and convolutions alone."""
    conditions = look(engine)
    call = Call(latents(), 501, CAPTIONS, (None, None), joint=True)
    before = engine.output(call, conditions)
    change = engine.output(replace(call, captions=(CAPTIONS[0], "a green star")), conditions) - before
    rows = change.abs().mean((0, 1, 2, 4))
    assert rows[5:].mean() > 2 * rows[:4].mean()


@pytest.mark.parametrize("steered", [True, False])
@pytest.mark.parametrize("fused", [True, False])
def test_each_pixel_has_what_its_own_item_would_have(engine: TorchEngine, steered: bool, fused: bool) -> None:
    """One layer: an item for each caption against one item of all."""
    layer = engine.bundle.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2
    text = torch.randn(3, 77, 32, generator=torch.Generator().manual_seed(1))
    hidden = torch.randn(2, 64, 32, generator=torch.Generator().manual_seed(2))
    conditions = look(engine)
    masks = torch.cat([conditions.masks[8, 8], torch.zeros(1, 2, 8, 8, dtype=torch.bool)])
    owners = conditions.owners[8, 8]
    inputs = FrameInputs(
        frames=2,
        modulation=ipr_strength(1, 20, [0.4, 0.2, 0.0], [0.6, 0.6, 0.6]) if steered else None,
        modulated=(True, True, False),
        masks={(8, 8): masks},
        roles=TokenRoles(torch.tensor([3, 2, 0])),
    )
    context = FrameContext()
    attend = CrossAttentionProcessor(context, guided=True)
    context.size = (8, 8)

    def run(given: FrameInputs, x: Tensor) -> Tensor:
        with torch.inference_mode(), context.given(given):
            if not fused:
                return attend(layer, x, text)
            with kernels_are(Kernels(per_item, flow_attention)):
                return attend(layer, x, text)

    items = torch.unflatten(run(inputs, hidden.repeat(3, 1, 1)), 0, (3, 2))
    joint = run(replace(inputs, owners={(8, 8): owners}), hidden)
    expected = items.gather(0, owners.flatten(1)[None, ..., None].expand(1, -1, -1, 32))[0]
    assert len(owners.unique()) == 3
    torch.testing.assert_close(joint, expected, atol=1e-6, rtol=1e-6)


def per_item(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, roles: TokenRoles, strength: IprStrength, /) -> Tensor:
    """The reference with the kernel's arguments: a caption, roles and strength for all frames of an item."""
    rows = torch.arange(len(k)).repeat_interleave(len(q) // len(k))
    return ipr_attention(q, k[rows], v[rows], mask, roles.rows(rows), strength.rows(rows))


def counted(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The items of each run of ControlNet."""
    seen: list[int] = []
    run = engine.bundle.controlnet.forward

    def forward(z: Tensor, *rest: object, **more: object) -> object:
        seen.append(len(z) // 2)
        return run(z, *rest, **more)

    monkeypatch.setattr(engine.bundle.controlnet, "forward", forward)
    return seen


def test_the_same_latents_are_controlled_once(deaf: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    conditions, seen = look(deaf), counted(deaf, monkeypatch)
    one, two = object(), object()
    z = latents(2)
    first = Call(z[:1], 501, ("",), (None,), latents=(one,))
    pair = Call(z[[0, 0]], 501, CAPTIONS, (None, None), latents=(one, one))
    mixed = Call(z[[0, 1, 0, 1]], 501, (*CAPTIONS, "", ""), (None,) * 4, latents=(one, two, one, two))
    made = [deaf.output(call, conditions) for call in (first, pair, mixed)]
    assert seen == [1, 1]
    apart = [deaf.output(replace(call, latents=()), conditions) for call in (first, pair, mixed)]
    assert seen[2:] == [1, 2, 4]
    for shared, alone in zip(made, apart, strict=True):
        torch.testing.assert_close(shared, alone, atol=1e-5, rtol=1e-5)


def test_what_is_kept_is_of_the_last_call_alone(deaf: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    conditions, seen = look(deaf), counted(deaf, monkeypatch)
    z = latents(2)
    tokens = [object(), object()]
    for z_0, token in ((z[:1], tokens[0]), (z[1:], tokens[1]), (z[:1], tokens[0]), (z[:1], tokens[0])):
        deaf.output(Call(z_0, 501, ("",), (None,), latents=(token,)), conditions)
    assert seen == [1, 1, 1]


def test_only_controlnet_is_deaf(engine: TorchEngine, deaf: TorchEngine) -> None:
    conditions = look(engine)
    silent = Call(latents(), 501, ("",), (None,))
    torch.testing.assert_close(deaf.output(silent, conditions), engine.output(silent, conditions))
    spoken = replace(silent, captions=CAPTIONS[:1])
    assert (deaf.output(spoken, conditions) - engine.output(spoken, conditions)).abs().max() > 1e-5
    assert (deaf.output(spoken, conditions) - deaf.output(silent, conditions)).abs().max() > 1e-4
