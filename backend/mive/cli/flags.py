"""From the options of ``mive edit`` and ``mive render`` to a request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from mive.base.rates import parse_rate
from mive.cli.options import Flags, by_id, linked_by_id, once_by_id
from mive.console.options import one_of
from mive.errors import RequestError
from mive.request import EditRequest, FrameRange, Instance
from mive.request_files import anchored, read_request
from mive.settings import MATTE_FIT, MatteFit

if TYPE_CHECKING:
    from mive.media import Clip


def edit_request(flags: Flags) -> EditRequest:
    """The request that flags describe, their file left aside.

    Raises:
        RequestError: one is missing, malformed, or contradicts another.
    """
    if flags.clip is None:
        raise RequestError(
            "no clip is named",
            expected="CLIP --mattes PATH --edit ID=CAPTION -o OUT",
            fix="Name a clip, or take everything from a file with --request edit.json",
        )
    chosen = instances(flags.edit or (), flags.matte or (), flags.source or ())
    nowhere = [instance.id for instance in chosen if instance.matte is None]
    if nowhere and flags.mattes is None:
        raise RequestError(
            f"nothing says where instance {nowhere[0]} is",
            expected="ID mattes for all instances, or a matte for each",
            fix=f"Add --mattes PATH, or --matte {nowhere[0]}=PATH",
        )
    # Left open, the bundle is the default here, and a server's to choose there.
    bundle: dict[str, Any] = {} if flags.bundle is None else {"bundle": flags.bundle}
    return EditRequest(
        clip=flags.clip,
        mattes=flags.mattes,
        frames=None if flags.frames is None else FrameRange.parse(flags.frames),
        rate=flags.rate,
        layer=flags.layer,
        strict=bool(flags.strict),
        instances=chosen,
        settings=_settings(flags),
        **bundle,
    )


def instances(edits: Sequence[str], mattes: Sequence[str], sources: Sequence[str]) -> tuple[Instance, ...]:
    """The instances, in the order of ``edits``: later ones lie on top.

    Raises:
        RequestError: there is none, or an option is malformed.
    """
    wanted = linked_by_id(edits)
    if not wanted:
        raise RequestError(
            "there is nothing to edit",
            expected="at least one --edit ID=CAPTION",
            fix='Say what an instance becomes, such as --edit "1=a red cup"',
        )
    ids = [numbers[0] for numbers, _ in wanted]
    matte = once_by_id("--matte", mattes, "PATH", ids)
    source = once_by_id("--source", sources, "CAPTION", ids)
    return tuple(
        Instance(
            id=number,
            caption=caption,
            source_caption=source.get(number, ""),
            matte=matte.get(number),
            linked=tuple(linked),
        )
        for (number, *linked), caption in wanted
    )


def whole_request(flags: Flags) -> EditRequest:
    """The request that flags or their file describe, with absolute paths.

    Raises:
        RequestError: there are both, or something is missing or wrong.
    """
    if (file := flags.request) is None:
        return anchored(edit_request(flags), Path())
    if given := flags.given():
        raise RequestError(
            f"{', '.join(given)} cannot be given beside --request, which holds all of the edit",
            expected="either the one or the others",
            fix=f"Change {file} instead, or leave --request out",
        )
    return anchored(read_request(file), file.parent)


def _settings(flags: Flags) -> Any:
    values = {"preset": flags.preset, "framing": flags.framing, "seed": flags.seed, "matte_fit": flags.matte_fit}
    settings: dict[str, Any] = {name: v for name, v in values.items() if v is not None}
    for text in flags.set or ():
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise RequestError(
                f'--set "{text}" is not of the form NAME=VALUE',
                expected="a setting's name, then = and its value",
                fix="Write --set steps=20",
            )
        if name in settings:
            raise RequestError(
                f"the setting {name} is given twice",
                expected="one value for each setting",
                fix="Remove one of them",
                field=f"settings.{name}",
            )
        settings[name] = _value(value.strip())
    return settings


def _value(text: str) -> Any:
    """``20`` and ``0.4`` as numbers, all else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def with_every_instance(flags: Flags) -> Flags:
    """The flags with an edit of every instance that their mattes hold, where neither they nor a file name any.

    Raises:
        MiveError: there is none, or clip or mattes cannot be read.
    """
    from mive.media import open_clip
    from mive.media.asked import Reading
    from mive.media.mattes import ids_in

    if flags.edit or flags.clip is None or flags.request is not None:
        return flags
    ids = {number for number, _ in by_id("--matte", flags.matte or (), "PATH")}
    if flags.mattes is not None:
        reading = Reading(None if flags.rate is None else parse_rate(flags.rate), flags.layer)
        source = open_clip(flags.clip, reading)
        span = frames_of(source, None if flags.frames is None else FrameRange.parse(flags.frames))
        fit: MatteFit = one_of("matte-fit", flags.matte_fit or MATTE_FIT, get_args(MatteFit))
        ids.update(ids_in(flags.mattes, source.info, span, fit))
    if not ids:
        raise RequestError(
            "nothing says where the instances are",
            expected="ID mattes, or a matte for each instance",
            fix="Add --mattes PATH, or --matte ID=PATH",
        )
    return replace(flags, edit=[f"{number}=instance {number}" for number in sorted(ids)])


def frames_of(clip: Clip, wanted: FrameRange | None) -> FrameRange:
    """The frames that a request is about, which the clip has.

    Raises:
        MediaError: it does not have them.
    """
    span = wanted or FrameRange(0, clip.info.frames - 1)
    clip.read(span)
    return span
