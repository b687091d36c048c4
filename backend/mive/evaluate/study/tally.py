"""How often each method was chosen, with intervals: Table 2's columns of the user study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mive.errors import RequestError
from mive.evaluate.bench.statistics import Estimate, estimate
from mive.evaluate.study.answers import Participant
from mive.evaluate.study.plan import StudyKey
from mive.evaluate.study.questions import QUESTIONS


@dataclass(frozen=True)
class Tally:
    """A study's outcome.

    Attributes:
        key: whose answers these are.
        counted: codes of the participants behind the shares.
        excluded: how many answers are missing, by the codes of those left out for it.
        shares: 0..1, by method and question's name.
    """

    key: StudyKey
    counted: Sequence[str]
    excluded: Mapping[str, int]
    shares: Mapping[str, Mapping[str, Estimate]]


def tally(key: StudyKey, participants: Sequence[Participant]) -> Tally:
    """Count the answers of everyone who answered everything.

    A person's answers are alike, so that they are no independent draws, as Wilson's interval would have them; it would
    come out too narrow. Whole participants are resampled instead.

    Raises:
        RequestError: nobody answered everything.
    """
    whole = [one for one in participants if not one.missing]
    if not whole:
        raise RequestError(
            f"none of {len(participants)} participants has answered everything",
            expected="at least one file with all answers",
            fix="Collect more answers",
        )
    shares: dict[str, dict[str, Estimate]] = {}
    for method in key.methods:
        shares[method] = {}
        for question in QUESTIONS:
            votes = [
                [float(chosen == method) for (asked, _), chosen in one.choices.items() if asked == question.name]
                for one in whole
            ]
            share = estimate(votes)
            assert share is not None, "a study has clips"
            shares[method][question.name] = share
    excluded = {one.code: one.missing for one in participants if one.missing}
    return Tally(key, [one.code for one in whole], excluded, shares)
