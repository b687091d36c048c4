"""A run's report: what its results say, as JSON, CSV, Markdown and one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mive.errors import RequestError
from mive.evaluate.bench import tables
from mive.evaluate.bench.methods import METHODS
from mive.evaluate.bench.results import Result, RunFolder, RunInfo
from mive.evaluate.bench.suite import Suite, SuiteClip, load_suite


@dataclass(frozen=True)
class Report:
    """The results that a report is about.

    Attributes:
        info: what was run.
        suite: its suite.
        titles: of the methods, in the order of the rows; the first is what the others are held against.
        clips: those that every method has scores for.
        results: of these clips, in their order.
        failed: results that have an error instead of scores.
        notes: what a reader should know.
        made: when the report was.
    """

    info: RunInfo
    suite: Suite
    titles: Mapping[str, str]
    clips: Sequence[SuiteClip]
    results: tables.Results
    failed: Sequence[Result]
    notes: Sequence[str]
    made: datetime

    @property
    def reference(self) -> str:
        """The method in the first row."""
        return next(iter(self.titles))


def read_report(folder: Path, methods: Sequence[str] | None = None) -> Report:
    """Put together what a run has so far.

    Args:
        folder: what ``mive bench run`` wrote.
        methods: the rows wanted, in order; None takes all that have results, the registry's first.

    Raises:
        RequestError: nothing was run there, a method has no results, or no clip has been done by all of them.
    """
    runs = RunFolder(folder)
    info = runs.info()
    if info is None:
        raise RequestError(
            f"there is no benchmark run in {folder}",
            expected="the folder that mive bench run wrote to",
            fix="Check the path, or run the benchmark first",
        )
    suite = load_suite(info.suite)
    found = {
        name: {clip.name: result for clip in suite.clips if (result := runs.load(name, clip))}
        for name in methods or _ordered(runs.methods())
    }
    rows = {name: {c: r for c, r in results.items() if r.scores} for name, results in found.items()}
    if methods is None:
        rows = {name: row for name, row in rows.items() if row}
    clips = [clip for clip in suite.clips if rows and all(clip.name in row for row in rows.values())]
    if not clips:
        counts = ", ".join(f"{name}: {len(row)} clips" for name, row in rows.items()) or "there are no results"
        raise RequestError(
            f"no clip has scores by every method ({counts})",
            expected="at least one clip that every method was run on",
            fix="Go on with mive bench run, or name the methods to report with --methods",
        )
    known = {method.name: method.title for method in METHODS}
    return Report(
        info=info,
        suite=suite,
        titles={name: known.get(name, name) for name in rows},
        clips=clips,
        results={name: [row[clip.name] for clip in clips] for name, row in rows.items()},
        failed=[result for results in found.values() for result in results.values() if result.error],
        notes=_notes(found, rows, clips),
        made=datetime.now(UTC),
    )


def _ordered(names: Sequence[str]) -> list[str]:
    """The registry's methods in its order, then the others in theirs."""
    known = [method.name for method in METHODS if method.name in names]
    return [*known, *(name for name in names if name not in known)]


def _notes(
    found: Mapping[str, Mapping[str, Result]], rows: Mapping[str, Mapping[str, Result]], clips: Sequence[SuiteClip]
) -> list[str]:
    notes = []
    most = max(len(row) for row in rows.values())
    if most > len(clips):
        others = most - len(clips)
        notes.append(f"Tables are of the {told_clips(len(clips))} that all methods have; some have {others} more.")
    for name, results in found.items():
        errors = [result for result in results.values() if result.error]
        if errors:
            first = errors[0]
            assert first.error is not None
            notes.append(f"{name} failed on {told_clips(len(errors))}, first on {first.clip}: {first.error['what']}.")
        fits = [result for result in results.values() if result.fit]
        if fits:
            notes.append(
                f"{name} was fitted on {told_clips(len(fits))}, first {fits[0].clip}: {'; '.join(fits[0].fit)}."
            )
    shown = [results[clip.name] for results in rows.values() for clip in clips]
    trivial = {one.clip for one in shown if one.scores and one.scores["cia_trivial"]}
    if trivial:
        notes.append(f"{told_clips(len(trivial))} with a single caption count with a CIA of 1, which is all it can be.")
    return notes


def told_clips(count: int) -> str:
    """``1 clip``, ``2 clips``."""
    return f"{count} clip{'' if count == 1 else 's'}"
