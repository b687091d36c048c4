"""IPR, Eq. 6 and 7 of the paper."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mive.attention.ipr import IprStrength, ipr_attention, ipr_strength, redistribute
from mive.attention.roles import TokenRoles

# Two text tokens: S, T, T, E, P, P.
ROLES = TokenRoles(torch.tensor([2]))
FRAME = torch.tensor(
    [
        [0.50, 0.10, 0.10, 0.10, 0.10, 0.10],  # inside
        [0.70, 0.05, 0.05, 0.10, 0.05, 0.05],  # inside
        [0.20, 0.20, 0.20, 0.20, 0.10, 0.10],  # outside
    ]
)[None, None]
MASK = torch.tensor([[True, True, False]])


def strength(t_ratio: float, warm_up: float, mode: str = "literal") -> IprStrength:
    return IprStrength(
        torch.tensor(t_ratio),
        torch.tensor(warm_up),
        torch.tensor(0.6),
        mode,  # type: ignore[arg-type]
    )


def test_hand_computed_example() -> None:
    # min = 0.5, so λ_S = 0.5·(0.5 + 0.1) = 0.3: T gains 0.3·0.6/2 = 0.09 each, E 0.3·0.4 = 0.12.
    expected = torch.tensor(
        [
            [0.20, 0.19, 0.19, 0.22, 0.10, 0.10],
            [0.40, 0.14, 0.14, 0.22, 0.05, 0.05],
            [0.80, 0.00, 0.00, 0.00, 0.10, 0.10],
        ]
    )
    torch.testing.assert_close(redistribute(FRAME, MASK, ROLES, strength(0.5, 0.1))[0, 0], expected)


@pytest.mark.parametrize(
    ("mode", "warm_up", "lambda_s"),
    [("literal", 0.3, [0.5, 0.7]), ("literal", 0.05, [0.5, 0.55]),
     ("bounded", 0.3, [0.5, 0.6]), ("bounded", 0.05, [0.5, 0.55])],
)  # fmt: skip
def test_lambda_s_has_two_readings_and_is_clamped_to_a_s(mode: str, warm_up: float, lambda_s: list[float]) -> None:
    # min = 0.5 and mean = 0.6; the first pixel holds only 0.5.
    after = redistribute(FRAME, MASK, ROLES, strength(1.0, warm_up, mode))
    moved = (FRAME - after)[0, 0, :2, 0]
    torch.testing.assert_close(moved, torch.tensor(lambda_s))


def test_each_head_and_frame_has_its_own_minimum() -> None:
    A = torch.cat([FRAME, FRAME.flip(2)], dim=1).repeat(2, 1, 1, 1)
    mask = torch.tensor([[True, False, False], [False, True, False]])
    moved = (A - redistribute(A, mask, ROLES, strength(0.5, 0.0)))[..., 0]
    torch.testing.assert_close(moved[0, :, 0], torch.tensor([0.25, 0.10]))
    torch.testing.assert_close(moved[1, :, 1], torch.tensor([0.35, 0.35]))


def test_a_frame_without_the_instance_is_left_alone() -> None:
    A = FRAME.repeat(2, 1, 1, 1)
    mask = torch.stack([MASK[0], torch.zeros(3, dtype=torch.bool)])
    after = redistribute(A, mask, ROLES, strength(1.0, 0.4))
    assert torch.equal(after[1], A[1])
    assert not torch.equal(after[0], A[0])


def test_without_text_tokens_the_end_token_takes_all() -> None:
    after = redistribute(FRAME, MASK, TokenRoles(torch.tensor([0])), strength(0.5, 0.0))
    gained = (after - FRAME)[0, 0, 0]
    torch.testing.assert_close(gained, torch.tensor([-0.25, 0.25, 0.0, 0.0, 0.0, 0.0]))


def test_strength_falls_linearly_and_warm_up_ends_after_a_tenth() -> None:
    steps = [ipr_strength(s, 50, lambda_=0.4, lambda_r=0.6) for s in (0, 1, 5, 25, 49)]
    assert [float(x.t_ratio) for x in steps] == pytest.approx([1, 0.98, 0.9, 0.5, 0.02])
    assert [float(x.warm_up) for x in steps] == pytest.approx([0.4, 0.32, 0, 0, 0])


def test_items_may_have_their_own_lambdas() -> None:
    both = ipr_strength(0, 50, lambda_=[0.1, 0.3], lambda_r=[0.2, 0.9])
    one = ipr_strength(0, 50, lambda_=0.3, lambda_r=0.9)
    A, mask = FRAME.repeat(2, 1, 1, 1), MASK.repeat(2, 1)
    roles = TokenRoles(torch.tensor([2, 3]))
    batched = redistribute(A, mask, roles, both)
    alone = redistribute(A[1:], mask[1:], roles.rows(torch.tensor([1])), one)
    torch.testing.assert_close(batched[1:], alone)
    torch.testing.assert_close(both.rows(torch.tensor([1])).warm_up, one.warm_up[None])


@st.composite
def attention(draw: st.DrawFn) -> tuple[Tensor, Tensor, TokenRoles]:
    """Probabilities of random sharpness [2, 2, 6, 77], masks and roles."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    sharpness = draw(st.sampled_from([0.0, 1.0, 10.0, 100.0]))
    sink = draw(st.sampled_from([-50.0, 0.0, 8.0, 50.0]))
    logits = torch.randn(2, 2, 6, 77, generator=generator) * sharpness
    logits[..., 0] += sink
    bits = st.lists(st.booleans(), min_size=6, max_size=6)
    mask = torch.tensor([draw(bits), draw(bits)])
    n_text = torch.tensor(draw(st.lists(st.integers(0, 75), min_size=2, max_size=2)))
    return logits.softmax(-1), mask, TokenRoles(n_text)


@given(
    case=attention(),
    s=st.integers(0, 49),
    lambda_=st.floats(0, 5),
    lambda_r=st.floats(0, 1),
    mode=st.sampled_from(["literal", "bounded"]),
)
def test_rows_stay_probabilities(
    case: tuple[Tensor, Tensor, TokenRoles], s: int, lambda_: float, lambda_r: float, mode: str
) -> None:
    A, mask, roles = case
    after = redistribute(A, mask, roles, ipr_strength(s, 50, lambda_, lambda_r, mode))  # type: ignore[arg-type]
    torch.testing.assert_close(after.sum(-1), torch.ones(2, 2, 6), atol=2e-6, rtol=0)
    assert (after >= 0).all()

    padding = roles.padding(77)[:, None, None].expand_as(A)
    assert torch.equal(after[padding], A[padding])
    present = mask.any(-1, keepdim=True)
    outside = (~mask & present)[:, None, :, None].expand_as(A)
    words = (roles.text(77) | roles.end(77))[:, None, None].expand_as(A)
    assert (after[outside & words] == 0).all()
    inside = mask[:, None, :, None].expand_as(A)
    assert (after[inside & words] >= A[inside & words]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_attention_is_softmax_redistribution_and_product(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, n, 8, generator=generator).to(dtype) for n in (3, 6, 6))
    probabilities = (q.float() @ k.float().mT / 8**0.5).softmax(-1)
    expected = redistribute(probabilities, MASK, ROLES, strength(1.0, 0.4)) @ v.float()
    h = ipr_attention(q, k, v, MASK, ROLES, strength(1.0, 0.4))
    assert h.dtype == dtype
    torch.testing.assert_close(h, expected.to(dtype))
