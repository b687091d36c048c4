"""What a study shows, and the key that tells which hidden name stands for which method."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from mive.base.validation import Model
from mive.errors import RequestError
from mive.evaluate.bench.report import read_report
from mive.evaluate.bench.results import RunFolder
from mive.evaluate.bench.suite import Suite, SuiteClip

MOST_METHODS: Final = 9
"""Videos that the digit keys can choose among."""


class KeyClip(Model):
    """One clip of a study."""

    id: str = Field(description="the clip's hidden name")
    name: str = Field(description="the clip's name in its suite")
    source: str = Field(description="the hidden name of the source")
    mattes: str = Field(description="the hidden name of the source under its mattes")
    videos: dict[str, str] = Field(description="the method behind each hidden name")


class StudyKey(Model):
    """Who is who in a study. It is kept beside the site, never in it."""

    version: Literal[1] = Field(default=1, description="the version of this format; a newer one needs a newer MIVE")
    study: str = Field(description="the study's id, which every file of answers names")
    title: str = Field(description="the study's title")
    seed: int = Field(description="what the hidden names were drawn by")
    methods: dict[str, str] = Field(description="the methods' titles by name, in the order of tables")
    clips: tuple[KeyClip, ...] = Field(description="the clips")


@dataclass(frozen=True)
class StudyPlan:
    """A study before its files are made.

    Attributes:
        key: its hidden names.
        clips: of the suite, in the key's order.
        folder: where the methods' videos are.
        left_out: how many of the suite's clips some method has no scores for.
    """

    key: StudyKey
    clips: Sequence[SuiteClip]
    folder: RunFolder
    left_out: int


def plan_study(
    run: Path, methods: Sequence[str] | None = None, clips: str | None = None, *, seed: int, title: str
) -> StudyPlan:
    """Choose clips and methods of a benchmark run, and draw hidden names.

    The same seed draws the same names, as long as the run's results are the same.

    Args:
        run: what ``mive bench run`` wrote.
        methods: those to compare; None takes all that have results.
        clips: names and ranges counted from 0, ``"0-9,cups"``; None takes all that every method has scores for.

    Raises:
        RequestError: there is no such run, method or clip, or there are too few or too many methods.
    """
    report = read_report(run, methods)
    names = list(report.titles)
    if not 2 <= len(names) <= MOST_METHODS:
        raise RequestError(
            f"there are {len(names)} methods to compare: {', '.join(names)}",
            expected=f"2 to {MOST_METHODS}, so that digits choose among them and all are seen at once",
            fix="Name them with --methods",
            field="methods",
        )
    chosen = report.clips if clips is None else _chosen(report.suite, clips)
    done = {clip.name for clip in report.clips}
    lacking = [clip.name for clip in chosen if clip.name not in done]
    if lacking:
        raise RequestError(
            f"not every method has scores for the clip {lacking[0]}",
            expected="clips that all of the methods were run on",
            fix="Go on with mive bench run, or leave the clip out",
            field="clips",
        )
    made = {(one.clip, one.method): one for rows in report.results.values() for one in rows}
    states = [[clip.digest, *(made[clip.name, name].finished.isoformat() for name in names)] for clip in chosen]
    digest = hashlib.sha256(json.dumps([seed, title, names, states]).encode()).hexdigest()
    key = _drawn(digest, seed, title, report.titles, chosen)
    return StudyPlan(key, chosen, RunFolder(run), len(report.suite.clips) - len(done))


def _chosen(suite: Suite, text: str) -> list[SuiteClip]:
    """Clips by name or range, none twice, in the order they are asked for."""
    by_name = {clip.name: clip for clip in suite.clips}
    found: dict[str, SuiteClip] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part in by_name:
            found[part] = by_name[part]
        elif re.fullmatch(r"[0-9]+(-[0-9]+)?", part):
            found |= {clip.name: clip for clip in suite.select(part)}
        else:
            raise RequestError(
                f'there is no clip "{part}" in {suite.folder}',
                expected="clips by name, or by ranges such as 0-9, with commas between",
                fix="Correct --clips",
                field="clips",
            )
    if not found:
        raise RequestError("--clips names no clip", expected="names or ranges", fix="Correct --clips", field="clips")
    return list(found.values())


def _drawn(digest: str, seed: int, title: str, methods: Mapping[str, str], clips: Sequence[SuiteClip]) -> StudyKey:
    draw = random.Random(digest)
    used: set[str] = set()

    def name() -> str:
        while (drawn := f"{draw.getrandbits(40):010x}") in used:
            pass
        used.add(drawn)
        return drawn

    rows = []
    for clip in clips:
        videos = {name(): method for method in methods}
        rows.append(
            KeyClip(id=name(), name=clip.name, source=name(), mattes=name(), videos=dict(sorted(videos.items())))
        )
    return StudyKey(study=digest[:12], title=title, seed=seed, methods=dict(methods), clips=tuple(rows))
