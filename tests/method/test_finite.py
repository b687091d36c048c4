"""Latents that are not finite are told, and by the step that made them so."""

from __future__ import annotations

import pytest
import torch

from mive.errors import EngineError
from mive.method.finite import Finiteness

GOOD, BAD = torch.ones(2, 4, 3, 3), torch.tensor([1.0, float("nan")])


def test_an_answer_may_be_read_later_and_still_names_its_step() -> None:
    asked = Finiteness()
    asked.ask(GOOD, "step 1")
    asked.ask(BAD, "step 2")
    asked.settle(later=1)
    asked.ask(GOOD, "step 3")
    with pytest.raises(EngineError, match=r"no longer finite after step 2\..*fp32"):
        asked.settle(later=1)


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
def test_in_the_end_all_is_read(value: float) -> None:
    asked = Finiteness()
    for number, z in enumerate((GOOD, torch.full((1,), value))):
        asked.ask(z, f"step {number}")
    with pytest.raises(EngineError, match="step 1"):
        asked.settle()
    asked.settle()
