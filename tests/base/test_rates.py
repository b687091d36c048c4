"""Rates as people and headers write them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from mive.base.rates import exact_rate, parse_rate, shown_rate

NTSC = Fraction(1000, 1001)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("25", Fraction(25)), (" 24 ", Fraction(24)), ("23.976", 24 * NTSC), ("23.98", 24 * NTSC),
        ("29.97", 30 * NTSC), ("59.94", 60 * NTSC), ("119.88", 120 * NTSC), ("47.952", 48 * NTSC),
        ("24000/1001", 24 * NTSC), ("30000 / 1001", 30 * NTSC), ("12.5", Fraction(25, 2)), ("1/2", Fraction(1, 2)),
        ("0", None), ("-25", None), ("25/0", None), ("", None), ("25p", None), ("1e3", None), ("2000", None),
        ("nan", None), ("0/25", None),
    ],
)  # fmt: skip
def test_texts(text: str, rate: Fraction | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("nominal", [24, 30, 48, 60, 120])
def test_what_headers_round_is_made_exact(nominal: int) -> None:
    import numpy as np

    assert exact_rate(float(np.float32(nominal * 1000 / 1001))) == nominal * NTSC
    assert exact_rate(float(nominal)) == nominal


def test_no_numbers_are_no_rates() -> None:
    assert [exact_rate(value) for value in (0.0, -1.0, float("inf"), float("nan"), 4.3e9)] == [None] * 5


def test_people_read_what_they_know() -> None:
    assert [shown_rate(rate) for rate in (Fraction(25), 24 * NTSC, Fraction(25, 2))] == ["25", "23.976", "12.5"]
