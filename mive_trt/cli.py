"""The program ``mive-trt``: engines made ahead of time, also for other machines, and what is kept of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mive.console.ending import say_json
from mive.console.options import JsonOption, QuietOption, one_of
from mive.console.progress import shown
from mive.console.run import run
from mive.errors import RequestError
from mive.request import USUAL_BUNDLE
from mive.request_files import anchored, read_request
from mive.settings import Narrow, Quantize

if TYPE_CHECKING:
    from mive_trt.flavour import Capability
    from mive_trt.tensorrt import EngineStore, Kept

app = typer.Typer(
    name="mive-trt",
    help="Build TensorRT engines ahead of time, for this machine's GPU or for others. No GPU is needed.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

CacheOption = Annotated[
    Path | None, typer.Option("--cache", metavar="FOLDER", help="Where engines are kept. [default: MIVE's cache]")
]


@app.command(short_help="Build the engines that edits of one size need.")
def build(
    bundle: Annotated[str, typer.Option(metavar="NAME|FOLDER|HUB_ID", help="The model bundle.")] = USUAL_BUNDLE,
    clip_size: Annotated[
        str | None, typer.Option(metavar="WIDTHxHEIGHT", help="The clips' size in pixels. [default: square]")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Frames of a window. [default: the bundle's]")
    ] = None,
    together: Annotated[
        int | None, typer.Option("--instances-per-forward", metavar="N", min=1, help="As edits will have it.")
    ] = None,
    gpu: Annotated[
        list[str] | None,
        typer.Option(metavar="8.9", help="Compute capability of a GPU; again for more. [default: this machine's]"),
    ] = None,
    precision: Annotated[str, typer.Option(metavar="fp16|fp32", help="What the networks compute in.")] = "fp16",
    quantize: Annotated[
        str,
        typer.Option(
            metavar="|".join(get_args(Quantize)),
            help="The 8-bit numbers that layers multiply in, as edits will have it.",
        ),
    ] = "none",
    plugins: Annotated[bool, typer.Option("--plugins/--no-plugins", help="Run MIVE's attention in plugins.")] = True,
    cache: CacheOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Build every engine that edits of clips of one size need, unless it is kept already.

    The same command on a farm's machine and here gives engines of the same names: copy the cache's folder "engines".
    """
    from mive_trt.ahead import Wanted, build_ahead

    if precision not in ("fp16", "fp32"):
        raise RequestError(f'"{precision}" is no precision of engines', expected="fp16 or fp32", fix="Use fp16")
    size = None if clip_size is None else _size(clip_size)
    narrow: Quantize = one_of("quantize", quantize, get_args(Quantize))
    wanted = Wanted(bundle, size, frames, together, precision, plugins, narrow)
    made = []
    with _bars(quiet or json) as bars:
        task = bars.add_task("", total=1)

        def told(what: str, done: int, total: int) -> None:
            bars.update(task, description=what, completed=done, total=total or 1)

        for number, (name, path) in enumerate(build_ahead(wanted, _capabilities(gpu or []), cache, told), start=1):
            made.append(path)
            if not json:
                bars.console.print(f"{number}. {name}: {path.stat().st_size / 2**20:.0f} MB")
    if json:
        say_json({"engines": made})


@app.command(short_help="Measure a bundle's layers for engines of 8 bits.")
def calibrate(
    request: Annotated[
        Path | None, typer.Argument(metavar="[REQUEST.json]", help="An edit like yours. [default: the demo's toy clip]")
    ] = None,
    quantize: Annotated[str, typer.Option(metavar="|".join(get_args(Narrow)), help="The 8-bit numbers.")] = "fp8",
    bundle: Annotated[
        str | None, typer.Option(metavar="NAME|FOLDER|HUB_ID", help="The model bundle. [default: the request's]")
    ] = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Measure how large the inputs of a bundle's layers get, once for each kind of 8-bit numbers.

    It makes the whole edit with the torch engine and NVIDIA's ModelOpt, and keeps what it measured in MIVE's cache; to
    build and run engines ModelOpt is not needed. The toy clip is for trying: measure with an edit like yours.
    """
    narrow: Narrow = one_of("quantize", quantize, get_args(Narrow))
    from mive_trt.calibrate import calibrate as measure

    edit = None if request is None else anchored(read_request(request), request.parent)
    with tempfile.TemporaryDirectory() as scratch, shown(quiet or json) as report:
        scales, file = measure(edit, narrow, report, Path(scratch), bundle)
    if json:
        say_json({"scales": file, "hash": scales.digest, "layers": len(scales.ranges)})
        return
    if request is None:
        print("Measured on the demo's toy clip, which is for trying: for your work, name a request of yours.")
    print(f"Measured {len(scales.ranges)} layers for {narrow}: {file}")


@app.command("list", short_help="Show the engines that are kept.")
def list_(cache: CacheOption = None, json: JsonOption = False) -> None:
    """Show the engines that are kept, the last used first."""
    kept = _store(cache).kept()
    if json:
        say_json({"engines": [_as_dict(each) for each in kept]})
        return
    if not kept:
        print('No engines are kept. "mive-trt build" makes some, or the first edit with --engine trt.')
        return
    table = Table("bundle", "program", "items × frames", "latents", "precision", "8 bits", "GPUs", "MB", "last used")
    for each in kept:
        facts = each.facts
        table.add_row(
            facts.get("bundle", "?"),
            facts.get("program", "?"),
            f"{facts.get('items', '?')} × {facts.get('frames', '?')}",
            facts.get("latents", "?"),
            facts.get("precision", "?"),
            facts.get("quantize", "-"),
            ", ".join(facts.get("gpus", [])),
            f"{each.size / 2**20:.0f}",
            _when(each.used),
        )
    Console(highlight=False).print(table)


@app.command(short_help="Say whether engines can be built and run here.")
def check(json: JsonOption = False) -> None:
    """Say which TensorRT is installed, what it builds for, and whether this machine can run engines."""
    from mive_trt.ahead import find_gpu, own_capability
    from mive_trt.flavour import capability_names, installed
    from mive_trt.plugin_library import compiling_obstacle, find_plugins

    flavour = installed()
    targets = [f"{major}.{minor}" for major, minor in sorted(capability_names(flavour))]
    gpu, obstacle = find_gpu(flavour)
    _, missing = find_plugins(flavour)
    missing = missing or compiling_obstacle(tuple(capability_names(flavour)) or own_capability())
    if json:
        said = {"tensorrt": str(flavour), "builds_for": targets, "gpu": gpu, "obstacle": obstacle}
        say_json({**said, "plugins": not missing, "plugins_obstacle": missing})
        return
    print(f"{flavour} is installed.")
    print(f"It builds for GPUs of compute capability {', '.join(targets)}." if targets else "It builds for this GPU.")
    print(f"Engines are built without MIVE's plugins: {missing}." if missing else "Engines have MIVE's plugins.")
    print(obstacle or f"{gpu} runs its engines.")


@app.command(short_help="Remove engines.")
def clean(
    keep: Annotated[float, typer.Option("--keep", metavar="GB", min=0, help="The last used ones stay, so many.")] = 0,
    cache: CacheOption = None,
) -> None:
    """Remove the engines that were not used for longest; edits that need one build it again."""
    count = _store(cache).clean(int(keep * 2**30))
    print(f"Removed {count} engine{'s' if count != 1 else ''}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    return run(app, "mive-trt", arguments)


def _store(cache: Path | None) -> EngineStore:
    from mive_trt.flavour import installed
    from mive_trt.tensorrt import EngineStore, engines_folder

    return EngineStore(cache or engines_folder(), (), installed())


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise RequestError(f'"{text}" is no size', expected="WIDTHxHEIGHT in pixels", fix="Write 1920x1080")
    return int(width), int(height)


def _capabilities(texts: list[str]) -> list[Capability]:
    found = []
    for text in texts:
        major, _, minor = text.partition(".")
        if not (major.isdecimal() and minor.isdecimal()):
            raise RequestError(
                f'"{text}" is no compute capability', expected="such as 8.6, 8.9 or 12.0", fix="Look your GPU's up"
            )
        found.append((int(major), int(minor)))
    return found


def _bars(hidden: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, transient=True, disable=hidden, console=Console(stderr=True, highlight=False))


def _as_dict(kept: Kept) -> dict[str, Any]:
    return {"path": kept.path, "bytes": kept.size, "last_used": _when(kept.used), **kept.facts}


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
