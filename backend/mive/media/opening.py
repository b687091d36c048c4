"""Opening clips and outputs: which kind of file it is decides who reads or writes it."""

from __future__ import annotations

from pathlib import Path

from mive.errors import OutputError
from mive.media.asked import Reading
from mive.media.clip import Clip
from mive.media.info import ClipInfo
from mive.media.origin import Origin
from mive.media.raw import RawClip, is_raw
from mive.media.sequence import SequenceClip, find_sequence
from mive.media.sequence_writer import SequenceWriter
from mive.media.video import VideoClip
from mive.media.video_writer import VideoWriter
from mive.media.writer import IMAGE_OUT_SUFFIXES, VIDEO_SUFFIXES, FrameWriter
from mive.request import FrameRange
from mive.settings import Codec


def open_clip(path: str | Path, reading: Reading | None = None) -> Clip:
    """Open a video file, an image, an image sequence, or a folder of raw frames.

    A sequence is a folder, a pattern (``shot.####.exr``, ``shot.%04d.exr``) or one file of it
    whose number has three digits or more (``shot.0001.exr``; shorter numbers name single images,
    as in ``cup2.png``). Any other image is a clip of one frame.

    Args:
        reading: what the files leave open, and where doubts are told.

    Raises:
        MediaError: nothing is there, it is no video or image, it has no frames, or numbers of the
            sequence are missing.
    """
    if is_raw(Path(path)):
        return RawClip(Path(path))
    reading = reading or Reading()
    sequence = find_sequence(path, holes=reading.matte)
    if sequence is None:
        return VideoClip(Path(path), reading)
    return SequenceClip(Path(path), sequence, reading)


def open_writer(
    out: str | Path, info: ClipInfo, frames: FrameRange, codec: Codec | None = None, origin: Origin | None = None
) -> FrameWriter:
    """Open an output, and find out at once whether it can be written.

    The suffix decides: ``.mp4`` H.264, ``.mov`` ProRes 422 HQ, ``.mkv`` FFV1 (lossless RGB);
    ``name.hevc.mp4`` or ``codec`` picks another codec. A folder holds numbered PNG files (EXR
    where the clip is float), a pattern ``name.####.png`` or ``.exr`` names them. Images keep the
    numbers of a source sequence and else count as ``--frames`` does.

    Args:
        origin: what the output carries over from, and must not touch besides the clip.

    Raises:
        OutputError: the place cannot be written to, would touch an input, or no encoder takes this
            size and format.
    """
    path, origin = Path(out), origin or Origin()
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return VideoWriter(path, info, frames, codec, origin)
    # "v1.2" is no file, but "shot.jpg" may be meant as one.
    folder = "#" not in path.name and (not suffix or suffix[1:].isdigit() or path.is_dir())
    if suffix in IMAGE_OUT_SUFFIXES or folder:
        return SequenceWriter(path, info, frames, origin, folder=suffix not in IMAGE_OUT_SUFFIXES)
    raise OutputError(
        f"{path} has no suffix that can be written",
        expected=f"one of {', '.join(VIDEO_SUFFIXES + IMAGE_OUT_SUFFIXES)}, or a folder",
        fix="Rename the output, e.g. edited.mp4 or frames/edited.####.png",
    )
