"""Image sequences: PNG in 8 or 16 bits, EXR in half or full float."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import OpenImageIO as oiio

from mive.base.atomic import Staging, output_error
from mive.base.samples import IN_MEMORY, stored_as
from mive.errors import MediaError, OutputError
from mive.media import timecode
from mive.media.image import read_image
from mive.media.info import ClipInfo, Pixels
from mive.media.pattern import parse_pattern
from mive.media.writer import FrameWriter, require_not_source

if TYPE_CHECKING:
    from mive.request import FrameRange


class SequenceWriter(FrameWriter):
    """Writes into a hidden folder beside ``out`` and moves the files when all are complete.

    A new folder appears in one step; in a folder that exists the files are replaced one by one.
    """

    def __init__(self, out: Path, info: ClipInfo, frames: FrameRange) -> None:
        sample = IN_MEMORY[info.depth]
        exr = out.suffix.lower() == ".exr" or (not out.suffix and sample.is_float)
        super().__init__(out, info, frames, "f32" if exr else sample.coded)
        self._whole_folder = not out.suffix
        self._files = _targets(out, info, frames, ".exr" if exr else ".png")
        require_not_source(self._files, info)
        if self._whole_folder and out.exists() and not out.is_dir():
            raise OutputError(
                f"{out} is a file",
                expected="a folder for the images",
                fix="Choose another folder, or add a suffix such as .mp4 or .####.png",
            )
        inside = self._whole_folder and out.is_dir()
        self._staging = Staging(out / self._files[0].name if inside else out)
        self._inside = inside or not self._whole_folder
        if inside:
            self._warn_of_other_images()

    def _warn_of_other_images(self) -> None:
        suffix = self._files[0].suffix
        others = {file for file in self.out.iterdir() if file.suffix == suffix} - set(self._files)
        if others:
            self.warnings.append(
                f"{self.out} also holds {len(others)} images of another output; "
                "remove them before you read the folder as one sequence"
            )

    def _write(self, frame: Pixels, number: int) -> None:
        target = self._files[number]
        spec = self._spec(number)
        path = str(self._staging.folder / target.name)
        output = oiio.ImageOutput.create(path)
        if output is None:
            raise output_error(OSError(oiio.geterror()), target)
        written = output.open(path, spec) and output.write_image(frame)
        problem = output.geterror()
        closed = output.close()
        try:
            if written and closed:
                # Image libraries lose the error when the last bytes find no room, so look.
                read_image(Path(path))
                return
        except MediaError:
            problem = "the file is incomplete"
        if shutil.disk_usage(self._staging.folder).free < frame.nbytes:
            raise output_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), target)
        reason = (problem or output.geterror() or "the file cannot be written").strip()
        raise output_error(OSError(reason.splitlines()[0]), target)

    def _spec(self, number: int) -> oiio.ImageSpec:
        info = self._info
        sample = stored_as(self._depth, info.bits) if self._depth == info.depth else IN_MEMORY[self._depth]
        spec = oiio.ImageSpec(info.width, info.height, 3, oiio.TypeDesc(sample.image))
        spec.attribute("PixelAspectRatio", float(info.pixel_aspect))
        if self._depth == "f32":
            spec.attribute("compression", "zip")
            rate = info.rate.limit_denominator(100_000)
            spec.attribute("FramesPerSecond", oiio.TypeDesc("rational"), (rate.numerator, rate.denominator))
            if info.chromaticities:
                spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), info.chromaticities)
            if info.timecode:
                at = timecode.advance(info.timecode, self._frames.first + number, info.rate)
                packed = timecode.pack(at)
                if packed is not None:
                    spec.attribute("smpte:TimeCode", oiio.TypeDesc("timecode"), (packed, 0))
        return spec

    def _commit(self) -> None:
        if self._inside:
            self._staging.commit(self._files)
        else:
            self._staging.commit_folder(self.out)

    def _discard(self) -> None:
        self._staging.discard()


def _targets(out: Path, info: ClipInfo, frames: FrameRange, suffix: str) -> list[Path]:
    numbers = [info.number_of(index) for index in frames.indices()]
    if not out.suffix:
        return [out / f"{number:04}{suffix}" for number in numbers]
    pattern = parse_pattern(out.name)
    if pattern is None:
        if len(frames) == 1:
            return [out]
        raise OutputError(
            f"{out} names one image for {len(frames)} frames",
            expected="a pattern or a folder",
            fix=f"Write {out.stem}.####{out.suffix}, or a folder without a suffix",
        )
    return [out.with_name(pattern.name(number)) for number in numbers]
