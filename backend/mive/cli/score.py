"""``mive score``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mive.cli.options import BundleOption, EditOption, Flags, MatteFitOption, MatteOption, MattesOption, SourceOption
from mive.cli.tables import show_scores
from mive.console.ending import say_json
from mive.console.needs import require_models
from mive.console.options import JsonOption
from mive.settings import MATTE_FIT


def score(
    source_clip: Annotated[str, typer.Argument(metavar="SOURCE", help="The clip before.")],
    edited_clip: Annotated[str, typer.Argument(metavar="EDITED", help="The clip after.")],
    mattes: MattesOption = None,
    edit: EditOption = None,
    matte: MatteOption = None,
    source: SourceOption = None,
    frames: Annotated[
        str | None,
        typer.Option(metavar="A-B", help="The frames of SOURCE that EDITED holds, from 0."),
    ] = None,
    ideal: Annotated[
        str | None,
        typer.Option(metavar="CLIP", help="What a perfect edit would be: PSNR, ΔE and SSIM against it, inside mattes."),
    ] = None,
    bundle: BundleOption = None,
    matte_fit: MatteFitOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how well an edit follows its captions, and what leaked where.

    IA and FA need to know what the instances were: give --source for each.
    """
    from mive.cli.flags import edit_request

    request = edit_request(
        Flags(source_clip, mattes, edit, matte, source, frames=frames, bundle=bundle, matte_fit=matte_fit)
    )
    require_models()
    from mive.evaluate.metrics import files as scoring

    scores = scoring.score_files(
        request.clip,
        edited_clip,
        request.mattes,
        request.instances,
        frames=request.frames,
        bundle=request.bundle,
        matte_fit=request.settings.matte_fit or MATTE_FIT,
        ideal=None if ideal is None else scoring.Ideal(ideal, scoring.load_round_trip(request.bundle)),
    )
    values: dict[str, Any] = scores.to_dict()
    if json:
        say_json(values)
    else:
        show_scores(scores)
