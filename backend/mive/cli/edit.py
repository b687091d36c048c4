"""``mive edit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mive.cli.ending import say_json, say_warnings
from mive.cli.needs import require_models
from mive.cli.options import (
    BundleOption,
    EditOption,
    FramesOption,
    JsonOption,
    MatteFitOption,
    MatteOption,
    MattesOption,
    QuietOption,
    SourceOption,
)
from mive.cli.progress import shown

if TYPE_CHECKING:
    from mive.edit import EditResult


def edit(
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            help="A video (.mp4 H.264, .mov ProRes, .mkv FFV1), a folder for PNG images, "
            "or a pattern (NAME.####.png, NAME.####.exr).",
        ),
    ],
    clip: Annotated[
        str | None,
        typer.Argument(metavar="CLIP", help="A video, an image or a folder of images."),
    ] = None,
    mattes: MattesOption = None,
    edit: EditOption = None,
    matte: MatteOption = None,
    source: SourceOption = None,
    frames: FramesOption = None,
    bundle: BundleOption = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="draft|standard|paper", help="How many steps. [default: standard]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Of the noise that --set variation=0..1 mixes in.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting, such as steps=30."),
    ] = None,
    matte_fit: MatteFitOption = None,
    request: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The whole edit as JSON, instead of CLIP and options."),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(metavar="h264|hevc|prores|ffv1", help="Instead of what OUT's suffix says."),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Invert the source again, and keep nothing of it.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Edit the instances of a clip, each by its own caption.

    Beside OUT comes a manifest, from which "mive render-again" makes the same frames.
    """
    from mive.cli.flags import Flags, anchored, check_codec, read_request

    flags = Flags(
        clip, mattes, tuple(edit or ()), tuple(matte or ()), tuple(source or ()), frames, bundle,
        preset, seed, matte_fit, tuple(set_ or ()),
    )  # fmt: skip
    if request is None:
        whole = anchored(flags.request(), Path())
    else:
        whole = anchored(read_request(request, flags), request.parent)
    chosen = check_codec(codec)
    require_models()
    from mive import edit as editing
    from mive.cache import InversionCache
    from mive.doctor import default_cache

    cache = InversionCache(None if no_cache else default_cache())
    with shown(quiet) as report:
        result = editing.run_edit(whole, out, report=report, cache=cache, codec=chosen)
    say_edit(result, json)


def say_edit(result: EditResult, as_json: bool) -> None:
    """What came of an edit."""
    if as_json:
        say_json(
            {
                "out": str(result.out),
                "manifest": str(result.manifest),
                "frames": result.frames,
                "seconds": result.seconds,
                "warnings": list(result.warnings),
            }
        )
        return
    say_warnings(result.warnings)
    count = f"{result.frames} frame{'s' if result.frames != 1 else ''}"
    print(f"{result.out}: {count} in {result.seconds['total']:.1f} s")
    print(f"{result.manifest}: how they were made")
