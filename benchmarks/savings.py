"""What each saving gains in time and loses in quality, against the exact method and a plain implementation of it.

    python benchmarks/savings.py SUITE --work DIR [--clips A-B] [--preset paper] [--rows full,pooled,fast]
                                 [--before PROGRAM] [--set NAME=VALUE] [--table FILE.md]

SUITE is what `mive bench make-toy` writes. Every edit inverts its source anew, so that seconds are all of an edit but
loading. `--before` adds a row made by the `mive` of another checkout. It may be stopped and run again; DIR holds a
benchmark run, of which `mive bench report DIR` says more.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from plain import PlainEditor

from mive.base.progress import Clock, Report
from mive.cli.flags import edit_request
from mive.cli.options import Flags
from mive.edit import open_shot
from mive.editing.inversions import InversionCache
from mive.errors import EngineError
from mive.evaluate.bench import tables
from mive.evaluate.bench.makers import Editing, Made, Maker
from mive.evaluate.bench.methods import METHODS, choose
from mive.evaluate.bench.results import Result, RunFolder, RunInfo
from mive.evaluate.bench.runner import run_suite
from mive.evaluate.bench.statistics import Estimate, estimate
from mive.evaluate.bench.suite import SuiteClip, load_suite
from mive.evaluate.metrics.files import load_judge, load_round_trip
from mive.manifest import manifest_path
from mive.media import open_writer
from mive.request import EditRequest, Settings

EXACT: Final = "full"
"""The row that the others are held against."""

ROWS: Final = ("plain", "full", "solver", "pooled", "joint", "pasted", "control", "fast")
SCORES: Final = ("ia", "cia", "ltc", "psnr")
TITLES: Final = {
    "plain": "a plain implementation",
    "before": "before",
    **{method.name: method.title for method in METHODS},
    EXACT: "the exact method",
}


def request_of(clip: SuiteClip, settings: Settings, bundle: str) -> EditRequest:
    """The edit of a clip."""
    return EditRequest(
        clip=str(clip.source.absolute()),
        mattes=str(clip.mattes.absolute()),
        instances=clip.instances,
        global_caption=clip.target_caption,
        bundle=bundle,
        settings=settings,
    )


@dataclass(frozen=True)
class Plain:
    """Makes clips as a plain script would."""

    settings: Settings
    bundle: str
    name: str = "plain"

    @property
    def made_by(self) -> dict[str, Any]:
        return {"plain": self.settings.model_dump(mode="json", by_alias=True, exclude_none=True)}

    def make(self, clip: SuiteClip, out: Path, report: Report) -> Made:
        """See `Maker.make`."""
        clock = Clock()
        shot = open_shot(request := request_of(clip, self.settings, self.bundle))
        editor = PlainEditor.load(request, shot.settings, shot.folder, InversionCache(None), clock)
        framing = editor.frame(shot.mattes)
        clock.lap("load")
        with open_writer(out, shot.clip.info, shot.frames, None) as writer:
            for frame in editor.run(shot.clip, shot.mattes, framing, report):
                writer.write(frame)
                clock.lap("write")
        return Made(clock.rounded())


@dataclass(frozen=True)
class Before:
    """Makes clips by the `mive` of another checkout, with the settings as they are asked for.

    They mean the same there if the preset is the paper's, which says what the others leave to the version.
    """

    program: Path
    settings: Settings
    bundle: str
    name: str = "before"

    @property
    def made_by(self) -> dict[str, Any]:
        return {
            "program": str(self.program),
            **self.settings.model_dump(mode="json", by_alias=True, exclude_none=True),
        }

    def make(self, clip: SuiteClip, out: Path, report: Report) -> Made:
        """See `Maker.make`."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "edit.json"
            file.write_text(request_of(clip, self.settings, self.bundle).to_json())
            command = [str(self.program), "edit", "--request", str(file), "-o", str(out), "--no-cache", "--quiet"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EngineError(f"{self.program} failed: {done.stderr.strip()[-400:]}")
        return Made(json.loads(manifest_path(out).read_bytes())["seconds"])


def makers(options: argparse.Namespace, settings: Settings) -> Iterator[Maker]:
    """Who makes each row, in the order of the table."""
    if options.before:
        yield Before(options.before, settings, options.bundle)
    for name in options.rows.split(","):
        if name == "plain":
            yield Plain(choose([EXACT])[0].settings(settings), options.bundle)
        else:
            (method,) = choose([name])
            yield Editing(method, settings, options.bundle, InversionCache(None))


def seconds(result: Result) -> float:
    """All of an edit but loading."""
    return sum(spent for stage, spent in result.seconds.items() if stage not in ("load", "total"))


def made(result: Result) -> int:
    """Frames that were edited, one by one instance."""
    assert result.scores is not None
    return tables.instance_count(result) * int(result.scores["frames"])


def gain(rows: Sequence[Result], exact: Sequence[Result]) -> Estimate | None:
    """How many times faster than the exact method, the geometric mean over clips."""
    logs = [math.log(seconds(b) / seconds(a)) for a, b in zip(rows, exact, strict=True)]
    found = estimate([[one] for one in logs])
    if found is None:
        return None
    low, high = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return Estimate(math.exp(found.mean), low, high, found.count)


def told(value: Estimate | None, digits: int, sign: str = "") -> str:
    """A mean with its interval."""
    if value is None:
        return "–"
    mean = f"{value.mean:{sign}.{digits}f}"
    if value.low is None or value.high is None:
        return mean
    return f"{mean} [{value.low:{sign}.{digits}f}, {value.high:{sign}.{digits}f}]"


def table(results: tables.Results) -> Iterator[str]:
    """Markdown: seconds and scores of each row, and below what each differs by from the exact method, clip by clip."""
    labels = [tables.label(name) for name in SCORES]
    yield f"| | s per instance and frame | times the exact speed | {' | '.join(labels)} |"
    yield "|---|" + "---:|" * (len(SCORES) + 2)
    means = tables.overall(results, SCORES)
    for name, rows in results.items():
        spent = sum(map(seconds, rows)) / sum(map(made, rows))
        faster = told(gain(rows, results[EXACT]), 2) if EXACT in results else "–"
        scores = " | ".join(told(means[name][score], tables.places(score)) for score in SCORES)
        yield f"| {TITLES.get(name, name)} | {spent:.3f} | {faster} | {scores} |"
    if EXACT not in results or len(results) < 2:
        return
    yield f"\n| less the exact method | {' | '.join(labels)} |"
    yield "|---|" + "---:|" * len(SCORES)
    for name, row in tables.against(results, EXACT, SCORES).items():
        yield f"| {TITLES.get(name, name)} | {' | '.join(told(row[s], tables.places(s), '+z') for s in SCORES)} |"


def measured(options: argparse.Namespace) -> tables.Results:
    """Make and score what is missing; the clips that every row has."""
    # Flags read settings as part of a request; clip, mattes and instances stand in for those of the suite.
    settings = edit_request(Flags("-", "-", ["1=-"], preset=options.preset, set=options.set)).settings
    folder, suite = RunFolder(options.work), load_suite(options.suite)
    clips = suite.select(options.clips)
    folder.start(
        RunInfo(suite=str(options.suite.absolute()), bundle=options.bundle, judge=options.bundle, settings=settings)
    )
    judge, round_trip = load_judge(options.bundle), load_round_trip(options.bundle, settings)
    everyone = [*makers(options, settings)]
    by_row: dict[str, dict[str, Result]] = {maker.name: {} for maker in everyone}
    for one in run_suite(clips, everyone, folder, judge, round_trip=round_trip):
        result = one.result
        if result.scores is not None:
            by_row[result.method][result.clip] = result
        words = f"{seconds(result):.1f} s" if result.scores is not None else f"failed: {result.error}"
        print(f"[{one.done}/{one.total}] {result.clip} {result.method}: {words}", file=sys.stderr, flush=True)
    shared = [clip.name for clip in clips if all(clip.name in rows for rows in by_row.values())]
    return {name: [rows[clip] for clip in shared] for name, rows in by_row.items() if shared}


def said(options: argparse.Namespace, results: Mapping[str, Sequence[Result]]) -> str:
    """The table and what it is of."""
    count = len(next(iter(results.values()), ()))
    others = "".join(f", {pair}" for pair in options.set)
    head = f"{count} clips of {options.suite.name}, bundle {options.bundle}, preset {options.preset}{others}. "
    return head + "In brackets: 95 % intervals over clips.\n\n" + "\n".join(table(results)) + "\n"


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description="What each saving gains and loses.")
    parser.add_argument("suite", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--clips", help="A-B, counted from 0, both included")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--before", type=Path, help="the program mive of another checkout")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any other setting")
    parser.add_argument("--bundle", default="tiny")
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    text = said(options, measured(options))
    print(text)
    if options.table:
        options.table.write_text(text)


if __name__ == "__main__":
    main()
