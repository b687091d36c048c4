"""``mive frame``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mive.cli.options import Flags
from mive.console.ending import say_json, say_warnings
from mive.console.options import JsonOption, QuietOption, grouped
from mive.console.progress import shown
from mive.errors import OutputError
from mive.settings import MatteFit

if TYPE_CHECKING:
    from mive.base.progress import Report
    from mive.editing.framing import Framing, FramingRule
    from mive.media import Clip, Mattes
    from mive.request import EditRequest


@grouped
def frame(
    *,
    flags: Flags,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            help="The views drawn over CLIP: NAME.png is a sheet with a row for each window; else as in mive edit.",
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what the model would see of a clip: where it would look, how closely, and what it would miss.

    Without --edit it is about all instances that the mattes hold.
    """
    from mive.base.progress import Progress
    from mive.cli.flags import frames_of, whole_request, with_every_instance
    from mive.editing.framing import find_losses, frame_shot, measure
    from mive.media import open_clip, open_mattes
    from mive.media.asked import Reading
    from mive.media.told import Warnings

    whole = whole_request(with_every_instance(flags))
    rule, fit = _rule(whole)
    told = Warnings(strict=whole.strict)
    source = open_clip(whole.clip, Reading.of(whole, told))
    span = frames_of(source, whole.frames)
    read = open_mattes(whole.mattes, whole.instances, source.info, span, fit, warnings=told)
    if out is not None:
        _require_apart(out, [*source.info.files, *read.files])
    with shown(quiet) as report:
        extents = measure(read, lambda done, total: report(Progress("mattes", done, total)))
        found = frame_shot(extents, rule)
        warnings = [*told, *(loss.sentence for loss in find_losses(found, extents))]
        if out is not None:
            warnings += _draw(out, source, read, found, report)
    if json:
        say_json({**found.model_dump(mode="json"), "digest": found.digest(), "warnings": warnings, "out": out})
        return
    from mive.cli.tables import show_views

    say_warnings(warnings)
    show_views(found)
    if out is not None:
        print(f"{out}: the views over the clip")


def _rule(request: EditRequest) -> tuple[FramingRule, MatteFit]:
    """The rule for a request's bundle and settings, and how mattes are to fit."""
    from mive.editing.framing import FramingRule
    from mive.networks.bundle_files import find_bundle
    from mive.networks.bundle_layout import bundle_defaults, find_layout

    folder = find_bundle(request.bundle)
    settings = request.settings.resolved(bundle_defaults(folder))
    return FramingRule.of(settings, find_layout(folder)), settings.matte_fit


def _is_sheet(out: Path) -> bool:
    from mive.media.pattern import parse_pattern

    return out.suffix.lower() == ".png" and parse_pattern(out.name) is None


def _require_apart(out: Path, inputs: list[Path]) -> None:
    """Refuses an output that is an input, a folder of one, or a pattern that fits one."""
    from mive.media.pattern import parse_pattern

    place, pattern = out.resolve(), parse_pattern(out.name)
    for file in (path.resolve() for path in inputs):
        fits = pattern is not None and file.name.startswith(pattern.head) and file.name.endswith(pattern.tail)
        if place in (file, file.parent) or (fits and place.parent == file.parent):
            raise OutputError(
                f"{out} would be written over {file} or beside it, which is read",
                expected="an output apart from the clip and its mattes",
                fix="Choose another name or folder for the output",
            )


def _draw(out: Path, clip: Clip, mattes: Mattes, framing: Framing, report: Report) -> list[str]:
    """Draws the views; what comes back are the writer's warnings."""
    from mive.base.progress import Progress
    from mive.evaluate.sheet import write_sheet
    from mive.evaluate.view_sheet import drawn_frames, view_sheet
    from mive.media import open_writer

    if _is_sheet(out):
        write_sheet(out, view_sheet(clip, mattes, framing))
        return []
    with open_writer(out, clip.info, framing.frames) as writer:
        for done, picture in enumerate(drawn_frames(clip, mattes, framing), 1):
            writer.write(picture)
            report(Progress("write", done, len(framing.frames)))
    return list(writer.warnings)
