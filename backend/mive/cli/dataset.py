"""``mive dataset``: build, check and stats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mive.console.ending import say_json
from mive.console.needs import require_models
from mive.console.options import JsonOption, QuietOption
from mive.errors import RequestError

if TYPE_CHECKING:
    from mive.evaluate.dataset.answers import Asker
    from mive.evaluate.dataset.build import Outcome, Step

dataset = typer.Typer(
    name="dataset",
    help="Make a suite from VIPSeg with captions by models, and say what a suite is made of.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

_MODEL_HELP = "a hub id, a folder, or http://HOST:PORT/v1#MODEL"


@dataset.command(short_help="Make a suite from VIPSeg.")
def build(
    vipseg: Annotated[Path, typer.Option(metavar="PATH", help="VIPSeg: a folder with imgs and panomasks.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="SUITE", help="Where the suite goes, or was begun.")],
    split: Annotated[
        str | None, typer.Option(metavar="A,B", help="VIPSeg's splits: train, val. [default: all that has masks]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Draws targets, and clips where --limit is given.")] = 0,
    vlm: Annotated[
        str | None, typer.Option(metavar="MODEL", help=f"Describes frames: {_MODEL_HELP}; its key is $MIVE_VLM_KEY.")
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Summarises and proposes targets; its key is $MIVE_LLM_KEY."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many clips.")] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make a suite as the paper's data set was made; run it again to go on where it was stopped.

    What the models write goes into SUITE/review.tsv, and from there into the clips. Correct that file and run again;
    answers that came are kept and not asked for twice. Blanks that no model fills are for a person.
    """
    from mive.evaluate.dataset.build import REVIEW_FILE, BuildInfo, run_build
    from mive.evaluate.dataset.vipseg import Vipseg

    splits = tuple(sorted({word.strip() for word in (split or "").split(",") if word.strip()}))
    info = BuildInfo(seed=seed, splits=splits)
    eyes, words = _askers(out, vlm, llm)
    outcome = run_build(Vipseg(vipseg), out, info, limit, eyes, words, _Lines(quiet))
    if json:
        say_json(_summary(out, outcome))
        return
    for reason, count in outcome.left_out.most_common():
        print(f"left out {count}: {reason}")
    for message in outcome.unreadable.values():
        print(f"left out, unreadable: {message}")
    if outcome.dropped:
        print(f"dropped by review {len(outcome.dropped)}")
    for problem in outcome.waiting:
        print(f"waits: {problem}")
    waiting = outcome.chosen - len(outcome.written) - len(outcome.dropped)
    print(f"{out}: {len(outcome.written)} clips, {outcome.reviewed} of them reviewed; {waiting} wait")
    if waiting or outcome.reviewed < len(outcome.written):
        print(f'Look through {out / REVIEW_FILE}, check it with "mive dataset check", then run this again')


@dataset.command(short_help="Check a review file.")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A review.tsv that mive dataset build wrote.")],
    json: JsonOption = False,
) -> None:
    """Say what is wrong in a review file, by line, clip and instance; exit code 2 if anything is."""
    from mive.evaluate.dataset.checking import check_rows
    from mive.evaluate.dataset.review import read_review

    if not file.is_file():
        raise RequestError(f"there is no file {file}", expected="a review.tsv", fix="Check the path", field="file")
    clips = check_rows(read_review(file))
    problems = [problem for clip in clips for problem in clip.problems]
    counts = {
        "clips": len(clips),
        "reviewed": sum(clip.reviewed and not clip.dropped for clip in clips),
        "dropped": sum(clip.dropped for clip in clips),
    }
    if json:
        say_json({**counts, "problems": [vars(problem) for problem in problems]})
    else:
        for problem in problems:
            print(f"{file}, {problem}")
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        print(f"{file}: {told}, {len(problems)} problems")
    if problems:
        raise typer.Exit(RequestError.exit_code)


@dataset.command(short_help="Say what a suite is made of.")
def stats(
    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="A folder of clips with mattes and captions.")],
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Print the columns of the paper's Tables 1 and 4 for a suite, as Markdown or JSON."""
    from mive.evaluate.bench.suite import load_suite
    from mive.evaluate.dataset.stats import as_json, as_markdown, look, measure

    loaded = load_suite(suite)
    seen = []
    for number, clip in enumerate(loaded.clips, start=1):
        seen.append(look(clip))
        if not quiet and sys.stderr.isatty():
            print(f"[{number}/{len(loaded.clips)}] {clip.name}", file=sys.stderr)
    made = measure(loaded.about.name, seen)
    if json:
        say_json(as_json(made))
    else:
        print(as_markdown(made), end="")


def _askers(out: Path, vlm: str | None, llm: str | None) -> tuple[Asker | None, Asker | None]:
    """The two models, which are one where both names are the same."""
    from mive.evaluate.dataset.build import ANSWERS
    from mive.evaluate.dataset.models import is_endpoint, open_asker

    if any(spec is not None and not is_endpoint(spec) for spec in (vlm, llm)):
        require_models()
    eyes = None if vlm is None else open_asker("vlm", vlm, out / ANSWERS)
    if llm == vlm:
        return eyes, eyes
    return eyes, None if llm is None else open_asker("llm", llm, out / ANSWERS)


def _summary(out: Path, outcome: Outcome) -> dict[str, object]:
    return {
        "suite": str(out),
        "videos": outcome.videos,
        "left_out": dict(outcome.left_out),
        "unreadable": outcome.unreadable,
        "written": outcome.written,
        "reviewed": outcome.reviewed,
        "dropped": outcome.dropped,
        "waiting": [vars(problem) for problem in outcome.waiting],
    }


class _Lines:
    """A line for each clip on standard error, and for every hundredth video of the survey."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, step: Step) -> None:
        seldom = step.stage == "survey" and step.done % 100 and step.done < step.total
        if not self._quiet and not seldom:
            words = f"{step.name}: {step.told}" if step.stage == "clip" else "videos surveyed"
            print(f"[{step.done}/{step.total}] {words}", file=sys.stderr, flush=True)
