"""The program ``mive``: its commands, and how each of them ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from mive import __version__
from mive.cli.bench import bench
from mive.cli.dataset import dataset
from mive.cli.demo import demo
from mive.cli.doctor import doctor
from mive.cli.edit import edit
from mive.cli.frame import frame
from mive.cli.jobs import cancel, jobs, retry
from mive.cli.mattes import mattes
from mive.cli.plugin import plugin
from mive.cli.render import render
from mive.cli.render_again import render_again
from mive.cli.score import score
from mive.cli.study import study
from mive.cli.watch import watch
from mive.console.run import run

app = typer.Typer(
    name="mive",
    help="Edit several things in a clip, each by its own words, and leave every other pixel alone.",
    epilog="An error ends with exit code 2 (request), 3 (clip or matte), 4 (model bundle), "
    "5 (output), 6 (model run), 130 (stopped) or 1 (anything else). "
    "With --debug, unexpected errors show where they come from.",
    add_completion=False,
    pretty_exceptions_enable=False,
    # "[server]" in a help text is no markup.
    rich_markup_mode=None,
)
app.command(short_help="Edit the instances of a clip.")(edit)
app.command(short_help="Show what the model would see of a clip.")(frame)
app.command(short_help="Edit the instances of a clip at a server.")(render)
app.command(short_help="List your jobs at a server.")(jobs)
app.command(short_help="Watch a job at a server, and fetch its frames.")(watch)
app.command(short_help="Cancel jobs at a server.")(cancel)
app.command(short_help="Submit jobs once more that failed or were cancelled.")(retry)
app.command(short_help="Make the frames of an edit again.")(render_again)
app.command(short_help="Measure an edit.")(score)
app.command(short_help="Edit a small clip that comes with MIVE.")(demo)
app.add_typer(bench, short_help="Measure methods on a suite of clips.")
app.add_typer(dataset, short_help="Make a suite from VIPSeg, and describe suites.")
app.add_typer(mattes, short_help="Check mattes before an edit.")
app.add_typer(plugin, short_help="Install the effect for OpenFX hosts.")
app.add_typer(study, short_help="Let people compare methods.")
app.command(short_help="Show what is installed and what is missing.")(doctor)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"mive {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command of ``mive`` and returns its exit code; see `run`."""
    return run(app, "mive", arguments)
