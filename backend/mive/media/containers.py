"""The one door through which media files are opened to be read: one file asked for is one file read.

FFmpeg knows playlists and reference files by their content, whatever they are called, and opens what they name: files,
patterns of files, sockets. So formats that name other files are not on the list of those it may find; and it is
handed an open file instead of a name, with no way to open a second one.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer

from mive.errors import MediaError
from mive.media.reading import reads

FORMATS: Final = (
    # Pictures, sound and more in one file.
    *("mov", "matroska", "mxf", "avi", "mpegts", "mpeg", "ogg", "nut", "flv", "asf", "gxf", "dv", "wtv", "cine", "ivf"),
    # Video alone.
    *("yuv4mpegpipe", "gif", "apng", "mjpeg", "m4v", "mpegvideo", "h264", "hevc", "av1", "obu", "vc1", "dnxhd"),
    # Sound alone.
    *("wav", "w64", "aiff", "caf", "au", "flac", "mp3", "aac", "ac3", "eac3", "dts", "wv"),
    # One picture.
    *("png_pipe", "jpeg_pipe", "tiff_pipe", "bmp_pipe", "exr_pipe", "dpx_pipe", "webp_pipe", "j2k_pipe", "jpegxl_pipe"),
    *("ppm_pipe", "pgm_pipe", "pbm_pipe", "pam_pipe", "pfm_pipe", "sgi_pipe", "qoi_pipe", "hdr_pipe", "psd_pipe"),
)
"""FFmpeg's names of the formats that may be read. None of them names other files, but QuickTime, where FFmpeg follows
such references only when told to."""

_HEAD: Final = 512


@reads
def open_container(path: Path) -> InputContainer:
    """Open a media file to read it, and nothing but it.

    Raises:
        MediaError: it is missing, no plain file, a playlist or of another format that is not read, or damaged.
    """
    descriptor = open_plain(path)
    try:
        options = {"fd": str(descriptor), "protocol_whitelist": "fd", "format_whitelist": ",".join(FORMATS)}
        return av.open("fd:", "r", container_options=options)  # noqa: TID251
    except (av.error.FFmpegError, OSError, UnicodeError) as error:
        raise _refusal(path, read_head(descriptor), error) from error
    finally:
        os.close(descriptor)


@reads
def open_plain(path: Path) -> int:
    """A descriptor of a plain file, to be closed by the caller; pipes and devices are not waited for.

    Raises:
        MediaError: there is none, or it may not be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise _unopened(path, str(getattr(error, "strerror", None) or error)) from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise _unopened(path, "it is no plain file")


def read_head(descriptor: int) -> bytes:
    """The first bytes of a file, by which formats are told apart."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, _HEAD)


def _unopened(path: Path, reason: str) -> MediaError:
    return MediaError(
        f"Cannot open {path}: {reason}",
        expected="a video file, an image, or a sequence of images",
        fix="Check that the path is right and the file plays elsewhere",
        field="clip",
    )


def _refusal(path: Path, head: bytes, error: Exception) -> MediaError:
    if _is_text(head):
        reason = "it is a text, such as a playlist or a description of a stream"
    elif getattr(error, "errno", None) == errno.EINVAL:
        reason = "its format is none that MIVE reads"
    else:
        return _unopened(path, str(getattr(error, "strerror", None) or error))
    return MediaError(
        f"Cannot open {path}: {reason}",
        expected="one media file that holds its own frames, such as MP4, MOV, MKV, MXF, AVI or MPEG-TS; "
        "files that name other files are not followed",
        fix="Name the media file itself, or export the clip as one file",
        field="clip",
    )


def _is_text(head: bytes) -> bool:
    return bool(head) and "".join(head.decode("utf-8", "ignore").split()).isprintable()
