"""The dialog's fields, checked while they are typed, and the command that they stand for."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from mive_resolve.captions import parse_captions
from mive_resolve.refusal import Refusal
from mive_resolve.shot import Shot

_HIGHEST_SEED = 2**31 - 1
_HIGHEST_STRENGTH = 100
_DIGITS = frozenset("#%@$")
"""What the digits of a sequence's numbers are written with."""
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Form:
    """The fields as they were typed."""

    captions: str
    mattes: str
    preset: str
    seed: str
    strength: str
    server: str
    folder: str


@dataclass(frozen=True)
class Edit:
    """The fields as they are meant."""

    captions: dict[int, str]
    mattes: Path
    preset: str
    seed: int | None
    strength: float | None
    server: str
    folder: Path


def read_form(form: Form) -> Edit:
    """The edit that the fields describe.

    Raises:
        Refusal: one of them is wrong; the first, from the top.
    """
    captions = parse_captions(form.captions)
    mattes = _path("Mattes", form.mattes, "Choose the ID mattes: a folder of images, or a lossless video")
    if not _is_there(mattes):
        raise Refusal(f"Mattes: there is no {mattes}", "Check the path")
    seed = form.seed.strip()
    if seed and not (seed.isascii() and seed.isdigit() and int(seed) <= _HIGHEST_SEED):
        raise Refusal(f'Seed: "{seed}" is no whole number from 0 to {_HIGHEST_SEED}', "Or leave it empty")
    strength = form.strength.strip()
    if strength and not (_NUMBER.fullmatch(strength) and float(strength) <= _HIGHEST_STRENGTH):
        raise Refusal(f'Strength: "{strength}" is no number from 0 to {_HIGHEST_STRENGTH}', "Or leave it empty, for 1")
    factor = float(strength) if strength else None
    server = form.server.strip()
    if server and ":" not in server:
        raise Refusal(f'Server: "{server}" is no address', "Write HOST:PORT, or leave it empty")
    folder = _path("Folder", form.folder, "Say where the edited clip goes")
    return Edit(captions, mattes, form.preset, int(seed) if seed else None, factor, server, folder)


def arguments(edit: Edit, shot: Shot, out: Path) -> list[str]:
    """What follows the program's name: ``render`` and its options."""
    words = ["render", shot.clip, "--frames", f"{shot.first}-{shot.last}", "--mattes", str(edit.mattes)]
    for number, caption in edit.captions.items():
        words += ["--edit", f"{number}={caption}"]
    words += ["--preset", edit.preset]
    if edit.seed is not None:
        words += ["--seed", str(edit.seed)]
    if edit.strength is not None:
        words += ["--set", f"guidance_factor={edit.strength}"]
    if edit.server:
        words += ["--server", edit.server]
    return [*words, "--bridge", "-o", str(out), "--json"]


def output(folder: Path, shot: Shot) -> Path:
    """A name for the edited clip that is not taken: ProRes, which every edition of Resolve reads."""
    stem = Path(shot.clip).stem.rstrip("#._- ") or "clip"
    for version in range(1, 10000):
        out = folder / f"{stem}_mive_{shot.first}-{shot.last}_v{version:03}.mov"
        if not out.exists():
            return out
    raise Refusal(f"{folder} is full of versions of this edit", "Choose another folder")


def default_folder(shot: Shot) -> Path:
    """Beside the clip; in the home folder where that may not be written."""
    beside = Path(shot.clip).parent
    return (beside if os.access(str(beside), os.W_OK) else Path.home()) / "MIVE"


def _path(field: str, text: str, fix: str) -> Path:
    if not text.strip():
        raise Refusal(f"{field}: it is empty", fix)
    path = Path(text.strip()).expanduser()
    if not path.is_absolute():
        raise Refusal(f"{field}: {path} does not say where it begins", "Write the whole path")
    return path


def _is_there(path: Path) -> bool:
    """Of a sequence such as ``mattes.####.png`` or ``mattes.%04d.png`` only its folder is looked for."""
    return path.exists() or (bool(_DIGITS.intersection(path.name)) and path.parent.is_dir())
