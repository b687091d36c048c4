"""What an output is made from: what it may carry over, and what it must not touch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mive.errors import OutputError
from mive.media.clip import Clip
from mive.media.told import Warnings

if TYPE_CHECKING:
    from mive.request import EditRequest


@dataclass(frozen=True)
class Origin:
    """The inputs of an edit, as its output sees them.

    Attributes:
        clip: the source, from which the output carries over what it can.
        inputs: all files and folders that are read, the clip's files aside: clip, mattes, request, bundle.
        warnings: what the output cannot hold is told here.
    """

    clip: Clip | None = None
    inputs: tuple[Path, ...] = ()
    warnings: Warnings = field(default_factory=Warnings)


def inputs_of(request: EditRequest) -> tuple[Path, ...]:
    """The files and folders that a request names."""
    return tuple(map(Path, request.sources().values()))


def require_apart(outputs: Sequence[Path], inputs: Iterable[Path], *, folder: Path | None = None) -> None:
    """Refuse outputs that are, hold or lie in an input.

    Args:
        outputs: the files that will be written.
        folder: the folder that they will make up, where they are one output.

    Raises:
        OutputError: naming the input.
    """
    places = [out.resolve() for out in outputs]
    whole = None if folder is None else folder.resolve()
    for path in dict.fromkeys(inputs):
        there = path.resolve()
        if there in places or any(_same(out, path) for out in outputs[:1]):
            raise _touched(f"{path} would be written over, and it is read")
        if there.is_dir() and any(place.is_relative_to(there) for place in (*places, *([whole] if whole else ()))):
            raise _touched(f"The output would lie in {path}, which is read")
        if whole is not None and there.is_relative_to(whole):
            raise _touched(f"{folder} holds {path}, which is read")


def _same(output: Path, path: Path) -> bool:
    """One file under two names, as on disks that do not tell cases apart."""
    try:
        return output.samefile(path)
    except OSError:
        return False


def _touched(what: str) -> OutputError:
    return OutputError(
        what,
        expected="an output apart from the clip, the mattes, the request and the bundle",
        fix="Choose another name or folder for the output",
    )
