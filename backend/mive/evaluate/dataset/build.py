"""Makes a suite from VIPSeg: survey, captions into the review file, and what a person let through into clips."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from mive.base.atomic import write_text
from mive.base.validation import Model, WholeNumber
from mive.errors import MediaError, OutputError, RequestError
from mive.evaluate.bench.results import RunFolder
from mive.evaluate.bench.suite import CLIP_FILE, SUITE_FILE, SuiteDescription
from mive.evaluate.dataset.answers import Asker
from mive.evaluate.dataset.checking import DROP, Checked, Problem, check_rows
from mive.evaluate.dataset.clips import write_media
from mive.evaluate.dataset.filling import fill
from mive.evaluate.dataset.review import CAPTION, Row, blank_rows, read_review, write_rows
from mive.evaluate.dataset.survey import SIDE, Survey, frequent_classes, kept_survey, unfit
from mive.evaluate.dataset.vipseg import Vipseg

REVIEW_FILE: Final = "review.tsv"
WORK_FOLDER: Final = "build"
"""Surveys and answers within the suite; when the suite is done it may be removed."""

ANSWERS: Final = f"{WORK_FOLDER}/answers"

_INFO_FILE: Final = "build.json"


class BuildInfo(Model):
    """What holds for all runs of a build."""

    version: Literal[1] = Field(default=1, description="the version of this format; a newer one needs a newer MIVE")
    seed: WholeNumber = Field(description="what clips and targets are drawn by")
    splits: tuple[str, ...] = Field(description="VIPSeg's splits; none for all videos")


@dataclass(frozen=True)
class Step:
    """How far a build is: ``done`` of ``total`` videos of a stage, and what came of this one."""

    stage: Literal["survey", "clip"]
    done: int
    total: int
    name: str
    told: str = ""


@dataclass
class Outcome:
    """What came of a build.

    Attributes:
        videos: how many there were.
        left_out: how many of them do not fit, by reason.
        unreadable: why some could not be read, by name.
        chosen: how many clips the suite is made of, those included that wait.
        written: the clips that are in the suite.
        dropped: the clips that a person left out.
        reviewed: how many of those that are written a person has seen.
        waiting: what keeps clips from the suite.
    """

    videos: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    chosen: int = 0
    written: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    reviewed: int = 0
    waiting: list[Problem] = field(default_factory=list)


def run_build(
    vipseg: Vipseg,
    out: Path,
    info: BuildInfo,
    limit: int | None,
    vlm: Asker | None,
    llm: Asker | None,
    say: Callable[[Step], None],
) -> Outcome:
    """Make the suite, or go on where a build was stopped; what is there already is not made again.

    Args:
        vipseg: the data set.
        out: the suite's folder; may be a build that was stopped.
        info: holds for all builds of the folder.
        limit: at most so many clips, drawn by the seed; a higher limit takes the same and more.
        vlm, llm: the models; without them, blanks in the review file stay blank.
        say: told of every video and clip.

    Raises:
        RequestError: the folder holds another build, or its review file is none.
        OutputError: the suite cannot be written, or another process is at it.
        MiveError: a model cannot be asked.
    """
    work = out / WORK_FOLDER
    with RunFolder(work).claim("build") as mine:
        if not mine:
            raise OutputError(f"another build of {out} is running", expected="one at a time", fix="Wait, or stop it")
        _start(work / _INFO_FILE, info)
        outcome = Outcome()
        surveys = _surveys(vipseg, info, work, outcome, say)
        chosen = _choose(surveys, info.seed, limit, outcome)
        for number, known in enumerate(chosen, start=1):
            told = _make(vipseg, known, out, info.seed, vlm, llm, outcome)
            say(Step("clip", number, len(chosen), known.name, told))
        _finish(out, [one.name for one in surveys], outcome)
        return outcome


def _start(path: Path, info: BuildInfo) -> None:
    """Begin a build, or go on with one of the same seed and splits."""
    before = BuildInfo.from_json(path.read_bytes()) if path.is_file() else info
    for name in ("seed", "splits"):
        if getattr(before, name) != getattr(info, name):
            raise RequestError(
                f"{path.parent.parent} was begun with another {name}: {getattr(before, name)!s}",
                expected="one seed and the same splits for a suite",
                fix="Choose another folder with -o, or give what it was begun with",
                field=name.removesuffix("s"),
            )
    write_text(path, info.to_json())


def _surveys(
    vipseg: Vipseg, info: BuildInfo, work: Path, outcome: Outcome, say: Callable[[Step], None]
) -> list[Survey]:
    names = vipseg.names(info.splits)
    surveys = []
    for number, name in enumerate(names, start=1):
        try:
            surveys.append(kept_survey(work / "surveys", vipseg, name))
        except MediaError as error:
            outcome.unreadable[name] = error.message()
        say(Step("survey", number, len(names), name, outcome.unreadable.get(name, "")))
    outcome.videos = len(names)
    return surveys


def _choose(surveys: Sequence[Survey], seed: int, limit: int | None, outcome: Outcome) -> list[Survey]:
    """The videos that the data set takes, sorted."""
    frequent = frequent_classes(surveys)
    fit = []
    for one in surveys:
        reason = unfit(one, frequent)
        if reason is None:
            fit.append(one)
        else:
            outcome.left_out[reason] += 1
    # By a hash rather than a permutation, so that one video more or less changes no other's place.
    fit.sort(key=lambda one: hashlib.sha256(f"{seed} {one.name}".encode()).digest())
    chosen = sorted(fit[:limit], key=lambda one: one.name)
    if len(chosen) < len(fit):
        outcome.left_out["beyond the limit"] = len(fit) - len(chosen)
    outcome.chosen = len(chosen)
    return chosen


def _make(
    vipseg: Vipseg, known: Survey, out: Path, seed: int, vlm: Asker | None, llm: Asker | None, outcome: Outcome
) -> str:
    """Bring one clip as far as it goes; what came of it, in words."""
    path = out / REVIEW_FILE
    rows = _own_rows(path, known.name)
    if any(row.id == CAPTION and row.review == DROP for row in rows):
        outcome.dropped.append(known.name)
        return "dropped"
    try:
        video = vipseg.video(known.name)
        full = fill(rows or blank_rows(known), video, known, seed, vlm, llm)
        now = _own_rows(path, known.name)
        # Models take minutes, in which a person may have written the same.
        if full != rows and [row.cells() for row in now] == [row.cells() for row in rows]:
            write_rows(path, full)
        [checked] = check_rows(_own_rows(path, known.name) or full)
        problems = checked.problems or _strangers(checked, known)
        if not problems:
            write_media(video, known, out / known.name)
            write_text(out / known.name / CLIP_FILE, checked.described().to_json())
    except MediaError as error:
        problems = (Problem(0, known.name, None, error.what, error.fix.rstrip(".")),)
    outcome.waiting += problems
    if problems:
        return f"waits: {problems[0]}"
    outcome.written.append(known.name)
    outcome.reviewed += checked.reviewed
    return "written"


def _own_rows(path: Path, name: str) -> list[Row]:
    return [row for row in read_review(path) if row.clip == name]


def _strangers(checked: Checked, known: Survey) -> tuple[Problem, ...]:
    """Rows of instances that the clip does not have."""
    ids = {str(region.id) for region in known.regions} | {CAPTION}
    fix = f"Remove the row; the clip has {', '.join(sorted(ids - {CAPTION}, key=int))}"
    return tuple(
        Problem(row.line, row.clip, row.id, "the mattes have no such instance", fix)
        for row in checked.rows
        if row.id not in ids
    )


def _finish(out: Path, names: Sequence[str], outcome: Outcome) -> None:
    """Take out what is no longer in the suite, and say what the suite is."""
    for name in set(names) - set(outcome.written):
        (out / name / CLIP_FILE).unlink(missing_ok=True)
    if not outcome.written:
        (out / SUITE_FILE).unlink(missing_ok=True)
        return
    clips = len(outcome.written)
    about = SuiteDescription(
        name=f"VIPSeg, {clips} clips",
        description=f"Centres of {SIDE} x {SIDE} pixels, captioned by models; {outcome.reviewed} of {clips} clips "
        "were reviewed by a person.",
    )
    write_text(out / SUITE_FILE, about.to_json())
