"""``mive bench``: methods, make-toy, run and report."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mive.cli.options import BundleOption, Flags, PresetOption
from mive.console.ending import say_json
from mive.console.needs import require_models
from mive.console.options import JsonOption, QuietOption
from mive.errors import RequestError

if TYPE_CHECKING:
    from mive.evaluate.bench.makers import Maker
    from mive.evaluate.bench.results import RunFolder, RunInfo
    from mive.evaluate.bench.runner import Told, Watch
    from mive.evaluate.bench.suite import SuiteClip

bench = typer.Typer(
    name="bench",
    help="Measure methods on a suite of clips, and report what came of it.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

_MethodsOption = Annotated[
    str | None, typer.Option(metavar="A,B", help='Methods by name, or all of a table of the paper, such as "table3".')
]


@bench.command(short_help="List the methods and ablations.")
def methods(json: JsonOption = False) -> None:
    """List the methods that can be measured, and the paper's tables they stand in."""
    from mive.evaluate.bench.methods import METHODS

    if json:
        rows = [
            {"name": one.name, "title": one.title, "tables": list(one.tables), "settings": dict(one.changes)}
            for one in METHODS
        ]
        say_json({"methods": rows})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "what it is", "tables of the paper", show_edge=False)
    for one in METHODS:
        table.add_row(one.name, one.title, " ".join(one.tables))
    Console(highlight=False, markup=False).print(table)


@bench.command(short_help="Write a suite of the toy world.")
def make_toy(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the suite goes; it is made.")],
    clips: Annotated[int, typer.Option(min=1, metavar="N", help="How many clips.")] = 200,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Another seed gives other clips.")] = 0,
    frames: Annotated[
        str, typer.Option(metavar="N|A-B", help="Frames of a clip, or their least and most (the paper's: 12-46).")
    ] = "12",
    size: Annotated[
        int, typer.Option(min=192, metavar="N", help="Short side in pixels; 192 is square, others are 16:9.")
    ] = 192,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a suite of procedural clips with exact mattes and captions, structured like the paper's data set."""
    from mive.evaluate.bench import make_toy as toy

    for number, name in enumerate(toy.make_toy(folder, clips, seed, toy.parse_frames(frames), size), start=1):
        if not quiet:
            print(f"[{number}/{clips}] {name}", file=sys.stderr)
    if json:
        say_json({"suite": str(folder), "clips": clips})
    else:
        print(f'{folder}: {clips} clips; edit them with "mive bench run {folder} --methods full -o OUT"')


@bench.command(short_help="Edit and score the clips of a suite.")
def run(
    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="A folder of clips with mattes and captions.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where results go, and were left before.")],
    methods: _MethodsOption = None,
    clips: Annotated[str | None, typer.Option(metavar="A-B", help="Clips, counted from 0, both included.")] = None,
    foreign: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER", help="Score another tool's outputs: a folder of frames or a video for each clip."
        ),
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Scale, hold, cut and find foreign outputs that do not fit; reports say so.")
    ] = False,
    bundle: BundleOption = None,
    judge: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The CLIP that scores: a bundle, folder or hub id. [default: the bundle's]"),
    ] = None,
    preset: PresetOption = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting, for all methods."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Edit every clip by every method and score the results; run it again to go on where it was stopped.

    Two processes may work on one DIR. A clip that fails is kept with its error and does not stop the rest.
    """
    from mive.evaluate.bench.results import RunFolder
    from mive.evaluate.bench.suite import load_suite

    chosen = load_suite(suite).select(clips)
    folder = RunFolder(out)
    info = _info(suite, folder, bundle, judge, preset, set_ or [])
    require_models()
    from mive.evaluate.bench.runner import run_suite
    from mive.evaluate.metrics.files import load_judge, load_round_trip

    makers = _makers(folder, info, chosen, methods, foreign or [], fit)
    scorer = load_judge(info.judge)
    ideals = any(clip.ideal is not None for clip in chosen)
    round_trip = load_round_trip(info.bundle, info.settings) if ideals else None
    folder.start(info)
    failed = []
    say = _Lines(quiet)
    for told in run_suite(chosen, makers, folder, scorer, round_trip=round_trip, watch=_watch(quiet)):
        say(told)
        if told.result.error:
            failed.append(told.result)
    summary = {"results": len(chosen) * len(makers), "failed": [f"{one.clip} {one.method}" for one in failed]}
    if json:
        say_json({"out": str(out), **summary})
    else:
        print(f'{out}: {summary["results"]} results, {len(failed)} failed; see them with "mive bench report {out}"')
    if failed:
        raise typer.Exit(1)


@bench.command(short_help="Put results together.")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What mive bench run wrote.")],
    methods: Annotated[
        str | None, typer.Option(metavar="A,B", help="The rows, in this order; the first is the reference.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write report.html, .md, .csv and .json into DIR: the paper's tables with intervals, timings, worst and best."""
    from mive.evaluate.bench.report import read_report
    from mive.evaluate.bench.report_files import write_report

    made = read_report(folder, None if methods is None else words(methods))
    paths = write_report(made, folder)
    if json:
        say_json({"clips": len(made.clips), "files": [str(path) for path in paths], "notes": list(made.notes)})
        return
    for note in made.notes:
        print(note)
    for path in paths:
        print(path)


def _info(
    suite: Path, folder: RunFolder, bundle: str | None, judge: str | None, preset: str | None, changes: list[str]
) -> RunInfo:
    """What is asked for; what is left open is as in the run that is gone on with."""
    from mive.cli.flags import edit_request
    from mive.evaluate.bench.results import RunInfo
    from mive.request_files import anchored

    before = folder.info()
    if judge is not None and Path(judge).is_dir():
        judge = str(Path(judge).absolute())
    # Flags read settings as part of a request; clip, mattes and instances stand in for those of the suite.
    flags = Flags("-", "-", ["1=-"], bundle=bundle, preset=preset, set=changes)
    given = anchored(edit_request(flags), Path())
    used = before.bundle if before and bundle is None else given.bundle
    return RunInfo(
        suite=str(suite.absolute()),
        bundle=used,
        judge=judge or (before.judge if before else used),
        settings=before.settings if before and preset is None and not changes else given.settings,
    )


def _makers(
    folder: RunFolder, info: RunInfo, clips: Sequence[SuiteClip], names: str | None, foreign: list[str], fit: bool
) -> list[Maker]:
    from mive.editing.inversions import InversionCache
    from mive.evaluate.bench.foreign import Foreign
    from mive.evaluate.bench.makers import Editing
    from mive.evaluate.bench.methods import METHODS, choose

    cache = InversionCache(folder.inversions)
    makers: list[Maker] = [
        Editing(method, info.settings, info.bundle, cache) for method in choose(words(names) if names else [])
    ]
    taken = {method.name for method in METHODS}
    for text in foreign:
        name, equals, place = text.partition("=")
        if not equals or name in taken:
            raise RequestError(
                f'--foreign "{text}" ' + ("names a method of MIVE's" if equals else "is not of the form NAME=FOLDER"),
                expected="a name of the tool's own, then = and the folder of its outputs",
                fix="Write --foreign theirs=FOLDER",
            )
        taken.add(name)
        outputs = Foreign(name, Path(place), fit)
        outputs.check(clips)
        makers.append(outputs)
    if not makers:
        raise RequestError(
            "there is nothing to measure",
            expected="--methods, --foreign, or both",
            fix='Name methods such as "--methods full,no_ipr"; "mive bench methods" lists them',
        )
    return makers


def words(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _watch(quiet: bool) -> Watch:
    """Bars for the running edit on a terminal; elsewhere a line for each result is enough."""
    from mive.console.progress import shown

    return lambda words: shown(quiet or not sys.stderr.isatty())


class _Lines:
    """A line for each result on standard error, with the time that is left."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._started = time.monotonic()
        self._made = 0

    def __call__(self, told: Told) -> None:
        self._made += told.fresh
        if self._quiet or not told.fresh:
            return
        one = told.result
        if one.scores:
            known = [f"{name.upper()} {one.scores[name]:.3f}" for name in ("ia", "cia") if one.scores[name] is not None]
            psnr = (one.scores.get("ideal") or {}).get("psnr")
            known += [] if psnr is None else [f"PSNR {psnr:.1f} dB"]
            words = ", ".join([*known, *([f"{one.seconds['total']:.1f} s"] if one.seconds else []), *one.fit])
        else:
            words = f"failed: {one.error['what'] if one.error else ''}"
        left = (time.monotonic() - self._started) / self._made * (told.total - told.done)
        rest = f", {left / 60:.0f} min left" if told.done < told.total else ""
        print(f"[{told.done}/{told.total}] {one.clip} {one.method}: {words}{rest}", file=sys.stderr, flush=True)
