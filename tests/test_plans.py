"""Plans as data: the paper's counts, and that every plan reaches the end."""

from __future__ import annotations

from collections import Counter

import pytest

from mive.plans import PLAN_NAMES, PLANS, Fuse, Lps, Nps, Reinvert, alternate


def test_the_paper_plan_counts() -> None:
    plan = alternate(50, PLANS["mive"], 40)
    assert Counter(type(step) for step in plan) == {Lps: 36, Nps: 46, Reinvert: 32, Fuse: 4}


def test_the_first_cycle_of_the_paper_plan() -> None:
    plan = alternate(50, PLANS["mive"], 40)
    assert plan[:9] == tuple(Lps(s, True) for s in range(9))
    assert plan[9:17] == (
        Fuse(9),
        Reinvert(9), Reinvert(8), Reinvert(7),
        Nps(6, True), Nps(7, True), Nps(8, True), Nps(9, True),
    )  # fmt: skip
    assert plan[17] == Lps(10, True)


def test_the_tail_has_no_ipr() -> None:
    tail = [s for s in alternate(50, PLANS["mive"], 40) if isinstance(s, Nps) and not s.modulated]
    assert len(tail) == 30
    assert tail[0].s == 38


@pytest.mark.parametrize("name", PLAN_NAMES)
@pytest.mark.parametrize("steps", [1, 2, 5, 10, 20, 50, 100])
def test_every_plan_reaches_the_end(name: str, steps: int) -> None:
    """Each step is denoised in order, however often re-inversion goes back, and the last is fused or NPS."""
    plan = alternate(steps, PLANS[name], steps)
    position = 0
    for step in plan:
        if isinstance(step, Reinvert):
            assert step.s == position
            position -= 1
        elif isinstance(step, Fuse):
            assert step.s == position
        else:
            assert step.s == position
            position += 1
    assert position == steps
    assert not isinstance(plan[-1], Lps)


@pytest.mark.parametrize(
    ("name", "lps", "nps", "reinversions"),
    [
        ("lps_only", 50, 0, 0),
        ("nps_only", 0, 50, 0),
        ("no_reinversion", 36, 14, 0),
        ("alternate_4_1", 40, 10, 0),
        ("alternate_14_1", 47, 3, 0),
        ("alternate_1_4", 10, 40, 0),
        ("last_nps_30", 18, 32, 0),
        ("reinvert_3_1", 36, 36, 22),
        ("lps_4", 32, 62, 44),
    ],
)
def test_ablation_counts(name: str, lps: int, nps: int, reinversions: int) -> None:
    counts = Counter(type(step) for step in alternate(50, PLANS[name], 40))
    assert (counts[Lps], counts[Nps], counts[Reinvert]) == (lps, nps, reinversions)
