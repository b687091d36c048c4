"""The options that commands share, and what people write in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, get_args

import typer

from mive.errors import RequestError
from mive.request import USUAL_BUNDLE
from mive.settings import CODECS, ENGINES, FRAMING, MATTE_FIT, PRESETS, USUAL_PRESET, FramingName, MatteFit

ClipArgument = Annotated[str | None, typer.Argument(metavar="CLIP", help="A video, an image or a folder of images.")]
_OUT_HELP = (
    "A video (.mp4 H.264, .mov ProRes, .mkv FFV1), a folder for PNG images, "
    "or a pattern (NAME.####.png, NAME.####.exr)."
)
OutOption = Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help=_OUT_HELP)]
LaterOutOption = Annotated[Path | None, typer.Option("--out", "-o", metavar="OUT", help=_OUT_HELP)]
MattesOption = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="ID mattes (images or lossless video): a pixel's value is its instance's id.",
    ),
]
EditOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID[+ID]=CAPTION",
        help="What an instance becomes. Once for each instance; more ids are parts of it, such as its reflection.",
    ),
]
MatteOption = Annotated[
    list[str] | None,
    typer.Option(metavar="ID=PATH", help="An instance's own matte, which may be soft."),
]
SourceOption = Annotated[
    list[str] | None,
    typer.Option(metavar="ID=CAPTION", help="What an instance is in the source, for scores."),
]
FramesOption = Annotated[str | None, typer.Option(metavar="A-B", help="Frames of CLIP, counted from 0, both included.")]
RateOption = Annotated[
    str | None,
    typer.Option(metavar="FPS", help="Frames a second of CLIP where its files say none: 25, 23.976, 24000/1001."),
]
LayerOption = Annotated[
    str | None,
    typer.Option(metavar="PART", help="The part, layer or track of CLIP that is the picture, where it has several."),
]
StrictOption = Annotated[
    bool | None, typer.Option("--strict", help="End with an error where there would be a warning about pictures.")
]
BundleOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help=f"Model bundle: a name, folder or hub id. [default: {USUAL_BUNDLE}]"),
]
PresetOption = Annotated[
    str | None,
    typer.Option(metavar="|".join(PRESETS), help=f"How many steps, and what they share. [default: {USUAL_PRESET}]"),
]
FramingOption = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(get_args(FramingName)),
        help=f"What the model sees: whole frames, or where the mattes are. [default: {FRAMING}]",
    ),
]
SeedOption = Annotated[int | None, typer.Option(metavar="N", help="Of the noise that --set variation=0..1 mixes in.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other setting, such as steps=30."),
]
CodecOption = Annotated[
    str | None,
    typer.Option(metavar="|".join(CODECS), help="Instead of what OUT's suffix says."),
]
EngineOption = Annotated[
    str,
    typer.Option(metavar="|".join(ENGINES), help="What runs the model; trt is TensorRT, auto says what it chose."),
]
MatteFitOption = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(get_args(MatteFit)),
        help=f"Mattes of other numbers, size or length: an error, fitted, or taken in order. [default: {MATTE_FIT}]",
    ),
]


@dataclass(frozen=True)
class Flags:
    """The options that make up a request, for `grouped` commands, as they were written; ``None`` if not given."""

    clip: ClipArgument = None
    mattes: MattesOption = None
    edit: EditOption = None
    matte: MatteOption = None
    source: SourceOption = None
    frames: FramesOption = None
    rate: RateOption = None
    layer: LayerOption = None
    strict: StrictOption = None
    bundle: BundleOption = None
    preset: PresetOption = None
    framing: FramingOption = None
    seed: SeedOption = None
    set: SetOption = None
    matte_fit: MatteFitOption = None
    request: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The whole edit as JSON, instead of CLIP and options."),
    ] = None

    def given(self) -> list[str]:
        """Those beside ``request`` that were written, as on the command line."""
        names = [field.name for field in fields(self) if field.name != "request"]
        names = [name for name in names if getattr(self, name) not in (None, [])]
        return ["CLIP" if name == "clip" else f"--{name.replace('_', '-')}" for name in names]


def by_id(option: str, texts: Sequence[str], kind: str) -> list[tuple[int, str]]:
    """Reads ``ID=VALUE`` as often as it was given.

    Args:
        option: its name, for errors: ``--edit``.
        kind: what stands behind the ``=``, for errors: ``CAPTION``.

    Raises:
        RequestError: a text is of another form.
    """
    pairs = []
    for text in texts:
        match = re.fullmatch(r"\s*([0-9]+)\s*=(.*)", text, re.DOTALL)
        if match is None:
            example = "1=mattes/cup.mov" if kind == "PATH" else "1=a red cup"
            raise RequestError(
                f'{option} "{text}" is not of the form ID={kind}',
                expected="the instance's id, which is a whole number, then = and the rest",
                fix=f'Write {option} "{example}"',
            )
        pairs.append((int(match[1]), match[2].strip()))
    return pairs


def linked_by_id(texts: Sequence[str]) -> list[tuple[list[int], str]]:
    """Reads ``--edit ID=CAPTION``, where further ids may be linked: ``1+5=CAPTION``.

    Raises:
        RequestError: a text is of another form.
    """
    pairs = []
    for text in texts:
        match = re.fullmatch(r"\s*([0-9]+)((?:\s*\+\s*[0-9]+)*)\s*(=.*)", text, re.DOTALL)
        whole = text if match is None else match[1] + match[3]
        ((number, caption),) = by_id("--edit", [whole], "CAPTION")
        pairs.append(([number, *map(int, re.findall("[0-9]+", "" if match is None else match[2]))], caption))
    return pairs


def once_by_id(option: str, texts: Sequence[str], kind: str, known: Sequence[int]) -> dict[int, str]:
    """As :func:`by_id`, where an id may stand once and must be one that is edited.

    Raises:
        RequestError: also where an id is given twice or is not in ``known``.
    """
    values: dict[int, str] = {}
    for number, value in by_id(option, texts, kind):
        if number in values:
            raise RequestError(
                f"{option} is given twice for instance {number}",
                expected="one for each instance",
                fix="Remove one of them",
            )
        if number not in known:
            raise RequestError(
                f"{option} speaks of instance {number}, which no --edit changes",
                expected=f"one of {', '.join(map(str, known))}",
                fix=f'Add --edit "{number}=CAPTION", or correct the id',
            )
        values[number] = value
    return values
