"""Which track of a file is its video, and what decodes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from mive.errors import MediaError
from mive.media.containers import open_container

_WITH_ALPHA: Final = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders of these pass over the alpha that a container keeps beside the picture."""

Decode = Callable[["Packet[VideoStream]"], list[av.VideoFrame]]


def open_video(path: Path, track: str | None = None) -> tuple[InputContainer, VideoStream]:
    """Open the video stream of a file, set to decode on several threads.

    Args:
        track: of several, the number (from 1) or title of the one that is meant; None is the best, as players choose.

    Raises:
        MediaError: as `open_container`, or the file has no such video.
    """
    container = open_container(path)
    try:
        stream = _chosen(path, container, track)
    except MediaError:
        container.close()
        raise
    stream.thread_type = "AUTO"
    return container, stream


def video_tracks(container: InputContainer) -> list[VideoStream]:
    """The tracks that are video; covers and thumbnails are pictures beside it."""
    beside = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & beside]


def _chosen(path: Path, container: InputContainer, track: str | None) -> VideoStream:
    tracks = [stream for stream in video_tracks(container) if getattr(stream, "codec_context", None) is not None]
    if not tracks:
        beside = ", only pictures beside its sound, such as a cover" if container.streams.video else ""
        raise MediaError(
            f"{path} has no video that can be decoded{beside}",
            expected="a file with a video stream",
            fix="Convert it to a common codec (e.g. ProRes or H.264) first",
            field="clip",
        )
    if track is None:
        best = container.streams.best("video")
        return best if isinstance(best, VideoStream) and best in tracks else tracks[0]
    names = [str(number) for number in range(1, len(tracks) + 1)]
    for stream, name in zip(tracks, names, strict=True):
        if track in (name, stream.metadata.get("title")):
            return stream
    raise MediaError(
        f'{path} has no video track "{track}"',
        expected=f"one of {', '.join(names)}" if len(names) > 1 else "a file with several, since it has one",
        fix="Correct --layer, or leave it out",
        field="layer",
    )


def holds_alpha(stream: VideoStream) -> bool:
    """Whether the container keeps alpha beside the coded picture (WebM)."""
    return any(name.lower() == "alpha_mode" and value == "1" for name, value in stream.metadata.items())


def frame_decoder(stream: VideoStream) -> Decode:
    """What turns the packets of a stream into frames, with their alpha where the container says that there is one."""
    context = stream.codec_context
    name = _WITH_ALPHA.get(context.codec.canonical_name)
    if not holds_alpha(stream) or name is None:
        return lambda packet: packet.decode()
    try:
        decoder = VideoCodecContext.create(name, "r")
    except (ValueError, av.error.FFmpegError):
        return lambda packet: packet.decode()
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = context.extradata
    return lambda packet: decoder.decode(packet if packet.size else None)
