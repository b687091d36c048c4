"""``mive mattes``: what mattes hold, before anyone pays for an edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from mive.cli.options import Flags
from mive.console.ending import say_json, say_warnings
from mive.console.options import JsonOption, grouped

if TYPE_CHECKING:
    from pathlib import Path

    from mive.media.plausible import SeenCover, SeenIds

mattes = typer.Typer(
    name="mattes", help="Say what mattes hold, and what is odd about them.", rich_markup_mode=None, no_args_is_help=True
)


@mattes.callback()
def _group() -> None:
    """A group of one command is still a group."""


@mattes.command(short_help="Check mattes against their clip.")
@grouped
def check(*, flags: Flags, json: JsonOption = False) -> None:
    """Read all mattes of an edit, match them to the clip, and say what is odd about them.

    It takes the options of "mive edit"; without --edit it is about all instances. What cannot be right is an error, as
    in an edit; what seems wrong is a warning, and an error with --strict. No model is needed.
    """
    from mive.cli.flags import frames_of, whole_request, with_every_instance
    from mive.media import open_clip, open_mattes
    from mive.media.asked import Reading
    from mive.media.told import Warnings
    from mive.settings import MATTE_FIT

    whole = whole_request(with_every_instance(flags))
    warnings = Warnings(strict=whole.strict)
    clip = open_clip(whole.clip, Reading.of(whole, warnings))
    span = frames_of(clip, whole.frames)
    fit = whole.settings.matte_fit or MATTE_FIT
    found = open_mattes(whole.mattes, whole.instances, clip.info, span, fit, warnings=warnings)
    own = [instance.id for instance in whole.instances if instance.matte is not None]
    pixels = clip.info.width * clip.info.height * len(span)
    rows = [row for path, seen in found.seen for row in _rows(path, seen, own, pixels)]
    if json:
        say_json({"frames": str(span), "instances": rows, "warnings": list(warnings)})
        return
    from mive.cli.tables import show_mattes

    say_warnings(warnings)
    show_mattes(rows)


def _rows(path: Path, seen: SeenIds | SeenCover, own: list[int], pixels: int) -> list[dict[str, Any]]:
    """A row for each instance of a matte; ``own`` are the ids of instances with mattes of their own, in order."""
    from mive.media.plausible import SeenIds

    if isinstance(seen, SeenIds):
        return [
            {"id": k, "matte": str(path), "kind": "ids", "frames": len(seen.frames[k]), "share": count / pixels}
            for k, count in sorted(seen.pixels.items())
            if k
        ]
    return [{"id": own.pop(0), "matte": str(path), "kind": "soft", "frames": seen.covered, "share": seen.share}]
