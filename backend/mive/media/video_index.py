"""Which frames a video file really holds, and where decoding can start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from mive.errors import MediaError
from mive.media.containers import open_container
from mive.media.reading import each_read

_HEAD = 48


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video stream in the order they are shown.

    Attributes:
        count: exact number of frames that decode.
        pts: their times in units of the stream's time base; None where the file has none.
        keys: times of the frames that decoding can start at; empty where it cannot seek.
    """

    count: int
    pts: tuple[int, ...] | None
    keys: tuple[int, ...]


def open_video(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open the best video stream of a file, set to decode on several threads.

    Raises:
        MediaError: as :func:`open_container`, or the file has no video.
    """
    container = open_container(path)
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.codec_context is None:
        container.close()
        raise MediaError(
            f"{path} has no video that can be decoded",
            expected="a file with a video stream",
            fix="Convert it to a common codec (e.g. ProRes or H.264) first",
            field="clip",
        )
    stream.thread_type = "AUTO"
    return container, stream


def decoded(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Every frame that decodes; packets that are damaged are passed over, as players do."""
    for packet in each_read(container.name, container.demux(stream)):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            continue
        yield from frames


def index_video(path: Path) -> VideoIndex:
    """Index a file by its packets, or by decoding it all where the packets cannot be trusted.

    Packets are trusted when each has its own time, and the first frames and those after the last
    starting points decode to exactly these times.
    """
    by_packets = _index_packets(path)
    if by_packets is not None and _confirmed(path, by_packets):
        return by_packets
    container, stream = open_video(path)
    with container:
        pts = [frame.pts for frame in decoded(container, stream)]
    times = tuple(time for time in pts if time is not None)
    usable = len(times) == len(pts) and all(a < b for a, b in pairwise(times))
    return VideoIndex(len(pts), times if usable else None, ())


def seek_before(container: InputContainer, stream: VideoStream, index: VideoIndex, pts: int) -> bool:
    """Move to the second starting point before a time; False where there is none.

    The second, because frames right after a starting point may lean on frames before it (open
    GOPs, intra refresh) and would then differ from those of a whole read.
    """
    before = [key for key in index.keys if key <= pts]
    if len(before) < 3:
        return False
    try:
        container.seek(before[-2], stream=stream)
    except (av.error.FFmpegError, OSError):
        return False
    return True


def _index_packets(path: Path) -> VideoIndex | None:
    container, stream = open_video(path)
    times: list[int] = []
    keys: list[int] = []
    with container:
        for packet in each_read(path, container.demux(stream)):
            if packet.size == 0 or packet.is_discard:
                continue
            if packet.pts is None or packet.is_corrupt:
                return None
            times.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
    if not times or len(set(times)) != len(times):
        return None
    return VideoIndex(len(times), tuple(sorted(times)), tuple(sorted(keys)))


def _confirmed(path: Path, index: VideoIndex) -> bool:
    assert index.pts is not None
    container, stream = open_video(path)
    with container:
        head = [frame.pts for frame in islice(decoded(container, stream), _HEAD)]
        if tuple(head) != index.pts[:_HEAD]:
            return False
        if index.count <= _HEAD:
            return True
    container, stream = open_video(path)
    with container:
        seek_before(container, stream, index, index.pts[-1])
        tail = [frame.pts for frame in decoded(container, stream)]
    last = index.keys[-1] if index.keys else index.pts[0]
    expected = [time for time in index.pts if time >= last]
    return [time for time in tail if time is not None and time >= last] == expected
