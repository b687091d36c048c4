"""Image sequences: PNG in 8 or 16 bits, EXR in half or full float."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import OpenImageIO as oiio

from mive.base.atomic import Staging, output_error
from mive.base.samples import IN_MEMORY, stored_as
from mive.errors import MediaError, OutputError
from mive.media import timecode
from mive.media.carry import Part, edited_parts, write_parts
from mive.media.holding import IMAGES
from mive.media.image import probe_image, read_matte
from mive.media.info import MATRIX_RGB, UNSPECIFIED, ClipInfo, Pixels
from mive.media.origin import Origin, require_apart
from mive.media.paste import to_depth
from mive.media.pattern import parse_pattern
from mive.media.sequence import SequenceClip
from mive.media.writer import FrameWriter

if TYPE_CHECKING:
    from mive.request import FrameRange

_PER_UNIT: Final = 100
_SRGB: Final = (1, 13)
"""The primaries and the transfer that a PNG without tags has."""


class SequenceWriter(FrameWriter):
    """Writes into a hidden folder beside ``out`` and moves the files when all are complete.

    A new folder appears in one step; in a folder that exists the files are replaced one by one. Where the source is
    images of the same format, each file has all that its source holds besides the picture.

    Args:
        folder: ``out`` is one, rather than a file or pattern.
    """

    def __init__(self, out: Path, info: ClipInfo, frames: FrameRange, origin: Origin, *, folder: bool) -> None:
        sample = IN_MEMORY[info.depth]
        exr = out.suffix.lower() == ".exr" or (folder and sample.is_float)
        self._suffix = ".exr" if exr else ".png"
        super().__init__(out, info, frames, "f32" if exr else sample.coded, IMAGES[self._suffix], origin)
        self._files = _targets(out, info, frames, self._suffix, folder=folder)
        require_apart(self._files, (*info.files, *origin.inputs), folder=out if folder else None)
        if folder and out.exists() and not out.is_dir():
            raise OutputError(
                f"{out} is a file",
                expected="a folder for the images",
                fix="Choose another folder, or add a suffix such as .mp4 or .####.png",
            )
        self._like_source = _of_format(origin, self._suffix)
        self._tell_losses(alike=self._like_source)
        if exr and not sample.is_float and origin.clip is not None:
            self.warnings.tell(
                f"The values in {out} are coded as in {info.path}; programs take those of EXR for linear light",
                error=OutputError,
            )
        self._alpha = iter(()) if self._like_source else self._alphas()
        inside = folder and out.is_dir()
        if inside:
            self._warn_of_other_images()
        self._staging = Staging(out / self._files[0].name if inside else out)
        self._inside = inside or not folder

    def _warn_of_other_images(self) -> None:
        suffix = self._files[0].suffix
        others = {file for file in self.out.iterdir() if file.suffix == suffix} - set(self._files)
        if others:
            self.warnings.tell(
                f"{self.out} also holds {len(others)} images of another output; "
                "remove them before you read the folder as one sequence",
                error=OutputError,
            )

    def _write(self, frame: Pixels, number: int) -> None:
        target = self._files[number]
        path = self._staging.folder / target.name
        problem = write_parts(path, self._parts(frame, number))
        try:
            if not problem:
                # Image libraries lose the error when the last bytes find no room, so look.
                read_matte(path)
                return
        except MediaError:
            problem = "the file is incomplete"
        if shutil.disk_usage(self._staging.folder).free < frame.nbytes:
            raise output_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), target)
        raise output_error(OSError(problem.strip().splitlines()[0]), target)

    def _parts(self, frame: Pixels, number: int) -> list[Part]:
        info, index = self._info, self._frames.first + number
        if self._like_source:
            assert isinstance(self.origin.clip, SequenceClip)
            said = None if self.origin.clip.reading.rate is None else info.rate
            return edited_parts(info.files[index], self.origin.clip.reading.layer, frame, said)
        alpha = next(self._alpha, None)
        if alpha is not None:
            frame = np.dstack([frame, to_depth(alpha, self._depth)])
        return [Part(self._spec(index, frame.shape[2]), np.ascontiguousarray(frame))]

    def _spec(self, index: int, channels: int) -> oiio.ImageSpec:
        info = self._info
        sample = stored_as(self._depth, info.bits) if self._depth == info.depth else IN_MEMORY[self._depth]
        spec = oiio.ImageSpec(info.width, info.height, channels, oiio.TypeDesc(sample.image))
        if self._depth == "f32":
            self._head_exr(spec, index)
        else:
            self._head_png(spec, index)
        return spec

    def _head_exr(self, spec: oiio.ImageSpec, index: int) -> None:
        info = self._info
        spec.attribute("PixelAspectRatio", float(info.pixel_aspect))
        spec.attribute("compression", "zip")
        if not info.rate_guessed:
            rate = info.rate.limit_denominator(100_000)
            spec.attribute("FramesPerSecond", oiio.TypeDesc("rational"), (rate.numerator, rate.denominator))
        if info.chromaticities:
            spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), info.chromaticities)
        packed = None if (at := self.timecode_at(index)) is None else timecode.pack(at)
        if packed is not None:
            spec.attribute("smpte:TimeCode", oiio.TypeDesc("timecode"), (packed, 0))

    def _head_png(self, spec: oiio.ImageSpec, index: int) -> None:
        info, tags = self._info, self._info.colour
        spec.attribute("oiio:UnassociatedAlpha", 1)
        if info.pixel_aspect != 1:
            # PNG has whole numbers of pixels a unit, which the library would round from 100.
            spec.attribute("XResolution", float(_PER_UNIT * info.pixel_aspect.denominator))
            spec.attribute("YResolution", float(_PER_UNIT * info.pixel_aspect.numerator))
            spec.attribute("ResolutionUnit", "none")
        if info.is_sequence and self.origin.clip is not None:
            profile = probe_image(info.files[index], self.origin.clip.reading.layer).specs[0].getattribute("ICCProfile")
            if profile is not None:
                spec.attribute("ICCProfile", oiio.TypeDesc(f"uint8[{len(profile)}]"), profile)
        coded = (tags.primaries, tags.transfer)
        if not info.is_sequence and UNSPECIFIED not in coded and coded != _SRGB:
            spec.attribute("CICP", oiio.TypeDesc("int[4]"), (*coded, MATRIX_RGB, 1))

    def _commit(self) -> None:
        if self._inside:
            self._staging.commit(self._files)
        else:
            self._staging.commit_folder(self.out)

    def _discard(self) -> None:
        self._staging.discard()

    def _alphas(self) -> Iterator[Pixels]:
        clip = self.origin.clip
        held = any(extra.kind == "alpha" for extra in self._info.extras) and "alpha" in self.holding.kinds
        return clip.alpha(self._frames) if held and clip is not None else iter(())


def _of_format(origin: Origin, suffix: str) -> bool:
    clip = origin.clip
    return (
        isinstance(clip, SequenceClip) and clip.as_stored and all(f.suffix.lower() == suffix for f in clip.info.files)
    )


def _targets(out: Path, info: ClipInfo, frames: FrameRange, suffix: str, *, folder: bool) -> list[Path]:
    numbers = [info.number_of(index) for index in frames.indices()]
    if folder:
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
