"""Frames of jobs as files, made for one call and gone after it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from mive.base.atomic import folder_aside, output_errors, remove_asides
from mive.errors import RequestError
from mive.media import ClipInfo, open_writer
from mive.media.info import Pixels
from mive.media.writer import IMAGE_OUT_SUFFIXES, VIDEO_SUFFIXES
from mive.request import FrameRange
from mive.server.files import make_folder
from mive.server.space import require_space
from mive.server.work import Call

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,99}")
_IMAGES: Final = re.compile(r"#{1,8}")


class Exports:
    """Writes files for clients to fetch. What a killed process left is removed.

    Args:
        folder: is made, in the data folder.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder, "the exports' folder")
        self._folder = folder
        remove_asides(folder)

    def write(
        self, name: str, info: ClipInfo, frames: FrameRange, read: Callable[[int], Pixels], call: Call
    ) -> tuple[Path, list[Path]]:
        """Write frames as a video, or as numbered images, and give the folder, to be removed, and the files in order.

        No file of a client is opened here, so a video has no sound.

        Args:
            name: as `checked_name` lets it pass.
            read: gives a frame by its index in the clip.
            call: that they are written for.

        Raises:
            ResultsGone: a frame is not there.
            OutputError: the disk is full, or no encoder takes this size.
            CallEnded: nobody waits any longer.
        """
        require_space(self._folder, info.width * info.height * 3 * 4 * len(frames), "the files")
        silent = replace(info, path=Path("clip"), files=(), has_audio=False)
        with output_errors("the files"), folder_aside(self._folder) as aside:
            with open_writer(aside / name, silent, frames) as writer:
                for index in call.each(frames.indices()):
                    writer.write(read(index))
            kept = aside.with_name(f"{aside.name}.kept.part")
            aside.rename(kept)
        return kept, sorted(path for path in kept.iterdir() if path.is_file())

    def remove(self, folder: Path) -> None:
        """Remove the files of a call."""
        shutil.rmtree(folder, ignore_errors=True)


def checked_name(name: str) -> str:
    """The name that files are to have.

    Raises:
        RequestError: it is no plain name, or nothing says what the files are to be.
    """
    suffix = Path(name).suffix.lower()
    numbered = suffix in IMAGE_OUT_SUFFIXES and len(_IMAGES.findall(name)) == 1
    if _NAME.fullmatch(_IMAGES.sub("0", name)) is None or not (suffix in VIDEO_SUFFIXES or numbered):
        raise RequestError(
            f"{name[:80]!a} is no name to export to",
            expected=f'a plain name such as "edited.####.exr" or "edited.mov", with one of '
            f"{', '.join((*IMAGE_OUT_SUFFIXES, *VIDEO_SUFFIXES))}; images with one group of #",
            fix="Correct name",
            field="name",
        )
    return name
