"""``mive edit``."""

from __future__ import annotations

from typing import Annotated

import typer

from mive.cli.options import CodecOption, EngineOption, Flags, OutOption
from mive.console.ending import say_made
from mive.console.needs import require_models
from mive.console.options import JsonOption, QuietOption, grouped, one_of
from mive.console.progress import Told, shown
from mive.settings import CODECS, ENGINES, USUAL_ENGINE


@grouped
def edit(
    out: OutOption,
    *,
    flags: Flags,
    codec: CodecOption = None,
    engine: EngineOption = USUAL_ENGINE,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Invert the source again, and keep nothing of it.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Edit the instances of a clip, each by its own caption.

    Beside OUT comes a manifest, from which "mive render-again" makes the same frames.
    """
    from mive.cli.flags import whole_request

    whole = whole_request(flags)
    chosen = None if codec is None else one_of("codec", codec, CODECS)
    runs = one_of("engine", engine, ENGINES)
    require_models()
    from mive import edit as editing
    from mive.base.places import default_cache
    from mive.editing.inversions import InversionCache

    cache = InversionCache(None if no_cache else default_cache())
    with shown(quiet) as report:
        told = Told(report)
        read = () if flags.request is None else (flags.request,)
        result = editing.run_edit(
            whole, out, report=report, cache=cache, codec=chosen, engine=runs, warn=told, inputs=read
        )
    say_made(result, json, told=told.texts)
