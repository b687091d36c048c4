"""The IPR kernel against its reference, interpreted and on a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.attention.agreement import DTYPES, HEADS, Run, agree
from torch import Tensor

from mive.attention.ipr import IprStrength, ipr_attention
from mive.attention.roles import TokenRoles

kernel = pytest.importorskip("mive.attention.ipr.triton").ipr_attention

MASKS = {
    "empty": lambda mask: torch.zeros_like(mask),
    "full": lambda mask: torch.ones_like(mask),
    "one pixel": lambda mask: torch.arange(mask.shape[1]).expand_as(mask) == mask.shape[1] - 1,
    "some": lambda mask: mask,
}


def case(
    batch: int = 3, heads: int = 1, pixels: int = 21, dim: int = 40, dtype: torch.dtype = torch.float32, **changes: Any
) -> dict[str, Any]:
    """Arguments of `ipr_attention` by name: rows without an instance, with it everywhere, and in between."""
    generator = torch.Generator().manual_seed(0)
    length, sink = changes.pop("length", 77), changes.pop("sink", 2.0)
    q = torch.randn(batch, pixels, heads, dim, generator=generator).transpose(1, 2)
    k, v = (torch.randn(batch, heads, length, dim, generator=generator) for _ in range(2))
    # A start token that all pixels look at, as in Stable Diffusion.
    k[:, :, 0] += sink * q.mean(2) * dim**0.5
    mask = torch.rand(batch, pixels, generator=generator) < 0.4
    mask[::3], mask[1::3] = False, True
    strength = IprStrength(torch.tensor(0.7), torch.rand(batch, generator=generator) * 0.3, torch.tensor(0.6))
    arguments = {
        "q": q.to(dtype),
        "k": k.to(dtype),
        "v": v.to(dtype),
        "mask": mask,
        "roles": TokenRoles(torch.arange(batch) * 7 % (length - 1)),
        "strength": strength,
    }
    return arguments | changes


def check(run: Run, arguments: dict[str, Any]) -> Tensor:
    """The kernel's result, which is the reference's."""
    h = run(kernel, *arguments.values())
    expected = ipr_attention(*arguments.values())
    agree(h, expected)
    return h


@pytest.mark.parametrize("dim", HEADS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_head_size_and_dtype(run: Run, dtype: torch.dtype, dim: int) -> None:
    check(run, case(heads=2, dim=dim, dtype=dtype))


def test_numbers_that_no_kernel_writes_are_nan(run: Run) -> None:
    """So that the other tests see whether a result is written as a whole."""
    assert run(torch.empty_like, torch.zeros(64)).isnan().all()


@pytest.mark.parametrize("pixels", [1, 15, 63, 64, 65, 130])
def test_sizes_that_are_no_multiple_of_a_tile(run: Run, pixels: int) -> None:
    check(run, case(pixels=pixels, dtype=torch.float16))


@pytest.mark.parametrize("dim", [2, 8, 48, 96, 128])
def test_head_sizes_of_no_known_model(run: Run, dim: int) -> None:
    check(run, case(dim=dim, dtype=torch.float16))


@pytest.mark.parametrize("masks", MASKS)
def test_masks(run: Run, masks: str) -> None:
    arguments = case()
    check(run, arguments | {"mask": MASKS[masks](arguments["mask"])})


def test_without_an_instance_it_is_plain_attention(run: Run) -> None:
    arguments = case()
    arguments["mask"] = torch.zeros_like(arguments["mask"])
    h = check(run, arguments)
    plain = torch.nn.functional.scaled_dot_product_attention(arguments["q"], arguments["k"], arguments["v"])
    torch.testing.assert_close(h, plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("instances", [1, 2, 16])
@pytest.mark.parametrize("frames", [1, 2])
def test_guided_items_of_several_frames_share_captions_roles_and_strength(
    run: Run, instances: int, frames: int
) -> None:
    """A batch as the U-Net has it: conditional and unconditional items, what is theirs given once per item."""
    items = 2 * instances
    arguments = case(items * frames, pixels=9, dim=32)
    arguments["mask"][instances * frames :] = False
    once = {name: arguments[name][::frames] for name in ("k", "v")}
    numbers = torch.rand(3, items, generator=torch.Generator().manual_seed(1))
    n_text = torch.arange(items) % 9
    h = run(kernel, *(arguments | once | {"roles": TokenRoles(n_text), "strength": IprStrength(*numbers)}).values())

    each = torch.arange(items).repeat_interleave(frames)
    apart = {name: x[each] for name, x in once.items()}
    strength = IprStrength(*numbers).rows(each)
    expected = ipr_attention(*(arguments | apart | {"roles": TokenRoles(n_text[each]), "strength": strength}).values())
    agree(h, expected)


@pytest.mark.parametrize("mode", ["literal", "bounded"])
@pytest.mark.parametrize("warm_up", [0.0, 0.05, 0.9])
def test_both_readings_of_lambda_s(run: Run, mode: Any, warm_up: float) -> None:
    strength = IprStrength(torch.tensor(0.9), torch.tensor(warm_up), torch.tensor(0.6), mode)
    check(run, case(strength=strength))


@pytest.mark.parametrize("n_text", [0, 1, 75, 76])
def test_captions_from_none_to_all_tokens(run: Run, n_text: int) -> None:
    check(run, case(roles=TokenRoles(torch.tensor([n_text]))))


@pytest.mark.parametrize("length", [3, 16, 17, 128])
def test_models_of_other_caption_lengths(run: Run, length: int) -> None:
    check(run, case(length=length))


@pytest.mark.parametrize("sink", [-40.0, 0.0, 40.0])
def test_start_tokens_that_hold_nothing_and_everything(run: Run, sink: float) -> None:
    check(run, case(sink=sink))


def test_any_strides_are_taken(run: Run) -> None:
    arguments = case(batch=4)
    strided = {
        "q": arguments["q"].mT.contiguous().mT,
        "k": arguments["k"][:1].expand(4, -1, -1, -1),
        "v": torch.stack([arguments["v"]] * 2, -1)[..., 0],
        "mask": arguments["mask"].T.contiguous().T,
    }
    check(run, arguments | strided)
    assert not any(x.is_contiguous() for x in strided.values())


def test_the_result_lies_in_memory_as_the_queries_do(run: Run) -> None:
    arguments = case(heads=2)
    assert check(run, arguments).stride() == arguments["q"].stride() != arguments["q"].contiguous().stride()


@pytest.mark.parametrize("shared", ["k", "v", "mask"])
def test_a_single_row_stands_for_all(run: Run, shared: str) -> None:
    arguments = case()
    check(run, arguments | {shared: arguments[shared][1:2]})


def test_rows_must_divide_the_batch(run: Run) -> None:
    arguments = case(batch=3)
    with pytest.raises(ValueError, match="2 rows do not divide a batch of 3"):
        run(kernel, *(arguments | {"k": arguments["k"][:2]}).values())


@settings(max_examples=12)
@given(st.data())
def test_random_shapes(run: Run, data: st.DataObject) -> None:
    batch, heads = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    arguments = case(
        batch,
        heads,
        pixels=data.draw(st.integers(1, 80)),
        dim=data.draw(st.integers(1, 64)),
        dtype=data.draw(st.sampled_from(DTYPES)),
        length=data.draw(st.integers(2, 100)),
        sink=data.draw(st.floats(-3, 3)),
    )
    check(run, arguments)


@pytest.mark.slow
@pytest.mark.parametrize("dim", HEADS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_whole_grid(run: Run, dtype: torch.dtype, dim: int) -> None:
    for batch, pixels in ((1, 1), (2, 64), (3, 100), (16, 33)):
        arguments = case(batch, 1, pixels, dim, dtype)
        for masks in MASKS.values():
            check(run, arguments | {"mask": masks(arguments["mask"])})
