"""What is counted before an edit is what it then does."""

from __future__ import annotations

import pytest
from tests.method.test_sampling import CaptionModel, finish, sampler

from mive.editing.workload import plan_forwards
from mive.plans import PLANS, alternate


@pytest.mark.parametrize("captions", [("red",), ("red", "blue", "green")])
@pytest.mark.parametrize("plan", PLANS)
def test_frames_that_go_through_the_network_are_counted_beforehand(plan: str, captions: tuple[str, ...]) -> None:
    model = CaptionModel()
    run = sampler(model, captions)
    finish(run, plan)
    counted = sum(plan_forwards(alternate(10, PLANS[plan], 8), len(captions)))
    # Before the first step all instances may share what has no caption.
    assert counted == pytest.approx(model.seen.total(), abs=len(captions))
