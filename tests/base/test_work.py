"""How long the rest of an edit will take, told from how long its beginning took."""

from __future__ import annotations

import random

import pytest

from mive.base.progress import Progress
from mive.base.work import USUAL_COSTS, Costs, Estimate, Work

Seconds = dict[str, float]


def an_edit(views: int = 1, frames: int = 5, inversion: int = 40, sampling: int = 42, instances: int = 3) -> Work:
    forwards = [1.0, 2.0 * instances, instances + 1.0]
    return Work(
        {
            "conditions": [float(frames)] * views,
            "inversion": [float(frames)] * inversion * views,
            "sampling": [frames * forwards[step % 3] for _ in range(views) for step in range(sampling)],
            "write": [1.0] * (frames * views),
        }
    )


def run(work: Work, costs: Costs, seconds: Seconds, seed: int = 0, views: int = 1) -> list[tuple[float, float | None]]:
    """An edit whose units take so long, give or take a fifth: the time of each report, and what was told."""
    now, told, rng = 0.0, list[tuple[float, float | None]](), random.Random(seed)
    estimate = Estimate(costs, lambda: now)
    estimate.begin(work)
    places = dict.fromkeys(work.units, 0)
    for view in range(views):
        for stage in ("conditions", "inversion", "sampling", "write"):
            steps = work.units[stage]
            for _ in range(len(steps) // views):
                now += steps[places[stage]] * seconds[stage] * rng.uniform(0.8, 1.2)
                places[stage] += 1
                progress = Progress(stage, places[stage], len(steps), view + 1, views, view + 1, views)
                told.append((now, estimate.follow(progress)))
    estimate.end()
    return told


def worst(told: list[tuple[float, float | None]]) -> float:
    """How far the told end is from the real one, in shares of the whole time, after a fifth of it."""
    end = told[-1][0]
    late = [(at, left) for at, left in told if at >= end / 5]
    assert all(left is not None for _, left in late)
    return max(abs(at + (left or 0) - end) / end for at, left in late)


@pytest.mark.parametrize("speed", [0.001, 0.1, 20.0])
@pytest.mark.parametrize(
    "kind", [{}, {"views": 4}, {"frames": 16, "instances": 1}, {"sampling": 120}, {"inversion": 9}]
)
def test_the_end_is_told_within_a_quarter_after_a_fifth_of_the_time(kind: dict[str, int], speed: float) -> None:
    """For the first edit of a process, where stages compare as they usually do."""
    seconds = {stage: speed * cost for stage, cost in USUAL_COSTS.items()}
    assert worst(run(an_edit(**kind), Costs(), seconds, views=kind.get("views", 1))) < 0.25


@pytest.mark.parametrize("seed", range(5))
def test_what_one_edit_took_is_known_for_the_next(seed: int) -> None:
    """On a machine where stages compare otherwise, after one edit; a smaller one, at another pace, is told too."""
    rng, costs = random.Random(seed), Costs()
    seconds = {stage: rng.uniform(0.2, 5) * cost for stage, cost in USUAL_COSTS.items()}
    run(an_edit(), costs, seconds, seed)
    assert worst(run(an_edit(frames=3, instances=2), costs, seconds, seed + 1)) < 0.25
    slower = {stage: 3 * each for stage, each in seconds.items()}
    assert worst(run(an_edit(views=2), costs, slower, seed + 2, views=2)) < 0.25


def test_an_edit_that_goes_on_from_a_checkpoint_is_told_as_one_that_does_the_rest() -> None:
    now, work = 0.0, an_edit()
    estimate = Estimate(Costs(), lambda: now)
    estimate.begin(work)
    for done in range(20, 43):
        now += work.units["sampling"][done - 1] * 2.2
        left = estimate.follow(Progress("sampling", done, 42))
        if done == 30:
            rest = sum(work.units["sampling"][30:]) * 2.2
            assert left is not None
            assert left == pytest.approx(rest + 5 * 2, rel=0.25)


def test_a_stage_that_is_found_in_a_cache_counts_as_done() -> None:
    now, work = 0.0, an_edit(views=2)
    estimate = Estimate(Costs(), lambda: now)
    estimate.begin(work)
    estimate.follow(Progress("conditions", 1, 2, view=1, views=2))
    now += 0.1
    estimate.follow(Progress("inversion", 1, 2, view=1, views=2))
    assert 0 < estimate.share() < 1
    for done in range(1, 43):
        now += 1
        left = estimate.follow(Progress("sampling", done, 84, view=1, views=2))
    assert left is not None
    assert left > 42, "the second view is still to be edited"


def test_nothing_is_told_before_something_is_known() -> None:
    estimate = Estimate(Costs())
    assert estimate.follow(Progress("load", 0, 1)) is None
    assert estimate.share() == 0
    estimate.begin(Work({}))
    assert estimate.follow(Progress("sampling", 1, 2)) is None
    assert estimate.share() == 0
