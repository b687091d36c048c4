"""``mive study``: build and tally."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from mive.console.ending import say_json
from mive.console.options import JsonOption, QuietOption

study = typer.Typer(
    name="study",
    help="Let people compare methods side by side, and count what they chose.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@study.command(short_help="Make a site that people compare methods on.")
def build(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="What mive bench run wrote.")],
    site: Annotated[Path, typer.Option("--out", "-o", metavar="SITE", help="Where the site goes; it is made.")],
    methods: Annotated[
        str | None, typer.Option(metavar="A,B", help="Those to compare. [default: all that have results]")
    ] = None,
    clips: Annotated[
        str | None,
        typer.Option(metavar="A-B,NAME", help="Names, and ranges counted from 0. [default: all that are scored]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Draws the hidden names. [default: another each time]")
    ] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="What participants read above.")] = "Comparing video edits",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make a site with the paper's three questions; the methods are hidden, and SITE.key.json beside it tells them.

    The site works from disk and on any web host, and sends nothing anywhere. Do not hand out the key.
    """
    from mive.cli.bench import words
    from mive.evaluate.bench.report import told_clips
    from mive.evaluate.study.plan import plan_study
    from mive.evaluate.study.site import build_site

    plan = plan_study(
        run,
        None if methods is None else words(methods),
        clips,
        seed=secrets.randbits(48) if seed is None else seed,
        title=title,
    )
    total = len(plan.clips)

    def told(done: int, name: str) -> None:
        if not quiet:
            print(f"[{done}/{total}] {name}", file=sys.stderr)

    key = build_site(plan, site, told)
    if json:
        say_json({"site": str(site), "key": str(key), "clips": total, "methods": list(plan.key.methods)})
        return
    if plan.left_out and clips is None:
        print(f"{told_clips(plan.left_out)} left out: not every method has scores for all")
    print(f"{site / 'index.html'}: {told_clips(total)}, {len(plan.key.methods)} methods")
    print(f'{key}: tells them apart; count answers with "mive study tally {key} ANSWERS..."')


@study.command(short_help="Count what participants chose.")
def tally(
    key: Annotated[Path, typer.Argument(metavar="KEY", help="What mive study build wrote beside the site.")],
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS...", help="The participants' files.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Write tally.md, .json and .svg here.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show each method's share of the choices, with 95 % intervals; who left answers out is not counted, and named."""
    from mive.evaluate.study.answers import load_key, load_participants
    from mive.evaluate.study.tally import tally as counted
    from mive.evaluate.study.tally_files import to_dict, write_tally
    from mive.evaluate.study.tally_markdown import markdown

    known = load_key(key)
    made = counted(known, load_participants(known, answers))
    paths = [] if out is None else write_tally(made, out)
    if json:
        say_json({**to_dict(made), "files": [str(path) for path in paths]})
        return
    print(markdown(made), end="")
    for path in paths:
        print(path)
