"""From the options of ``mive edit`` and ``mive render`` to a request."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mive.cli.options import by_id, once_by_id
from mive.errors import RequestError
from mive.request import EditRequest, FrameRange, Instance
from mive.request_files import anchored, read_request


@dataclass(frozen=True)
class Flags:
    """The options that make up a request, as they were written; ``None`` or empty if not given."""

    clip: str | None
    mattes: str | None
    edit: tuple[str, ...]
    matte: tuple[str, ...]
    source: tuple[str, ...]
    frames: str | None
    bundle: str | None
    preset: str | None
    seed: int | None
    matte_fit: str | None
    set: tuple[str, ...]

    def request(self) -> EditRequest:
        """The request they describe.

        Raises:
            RequestError: one is missing, malformed, or contradicts another.
        """
        if self.clip is None:
            raise RequestError(
                "no clip is named",
                expected="CLIP --mattes PATH --edit ID=CAPTION -o OUT",
                fix="Name a clip, or take everything from a file with --request edit.json",
            )
        chosen = instances(self.edit, self.matte, self.source)
        nowhere = [instance.id for instance in chosen if instance.matte is None]
        if nowhere and self.mattes is None:
            raise RequestError(
                f"nothing says where instance {nowhere[0]} is",
                expected="ID mattes for all instances, or a matte for each",
                fix=f"Add --mattes PATH, or --matte {nowhere[0]}=PATH",
            )
        # Left open, the bundle is the default here, and a server's to choose there.
        bundle: dict[str, Any] = {} if self.bundle is None else {"bundle": self.bundle}
        return EditRequest(
            clip=self.clip,
            mattes=self.mattes,
            frames=None if self.frames is None else FrameRange.parse(self.frames),
            instances=chosen,
            settings=self._settings(),
            **bundle,
        )

    def given(self) -> list[str]:
        """Those that were written, as on the command line."""
        names = [field.name for field in fields(self) if getattr(self, field.name) not in (None, ())]
        return ["CLIP" if name == "clip" else f"--{name.replace('_', '-')}" for name in names]

    def _settings(self) -> Any:
        values = {"preset": self.preset, "seed": self.seed, "matte_fit": self.matte_fit}
        settings: dict[str, Any] = {name: v for name, v in values.items() if v is not None}
        for text in self.set:
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


def instances(edits: tuple[str, ...], mattes: tuple[str, ...], sources: tuple[str, ...]) -> tuple[Instance, ...]:
    """The instances, in the order of ``edits``: later ones lie on top.

    Raises:
        RequestError: there is none, or an option is malformed.
    """
    wanted = by_id("--edit", edits, "CAPTION")
    if not wanted:
        raise RequestError(
            "there is nothing to edit",
            expected="at least one --edit ID=CAPTION",
            fix='Say what an instance becomes, such as --edit "1=a red cup"',
        )
    ids = [number for number, _ in wanted]
    matte = once_by_id("--matte", mattes, "PATH", ids)
    source = once_by_id("--source", sources, "CAPTION", ids)
    return tuple(
        Instance(
            id=number,
            caption=caption,
            source_caption=source.get(number, ""),
            matte=matte.get(number),
        )
        for number, caption in wanted
    )


def whole_request(flags: Flags, file: Path | None) -> EditRequest:
    """The request that flags or a file describe, with absolute paths.

    Raises:
        RequestError: there are both, or something is missing or wrong.
    """
    if file is None:
        return anchored(flags.request(), Path())
    if given := flags.given():
        raise RequestError(
            f"{', '.join(given)} cannot be given beside --request, which holds all of the edit",
            expected="either the one or the others",
            fix=f"Change {file} instead, or leave --request out",
        )
    return anchored(read_request(file), file.parent)


def _value(text: str) -> Any:
    """``20`` and ``0.4`` as numbers, all else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
