"""Which frames a video file really holds, and where decoding can start."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from mive.media.reading import each_read
from mive.media.runs import shown_numbers
from mive.media.tracks import frame_decoder, open_video

_HEAD = 48


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video stream in the order they are shown.

    Attributes:
        count: exact number of frames that decode.
        pts: their times in units of the stream's time base; None where the file has none.
        keys: times of the frames that decoding can start at; empty where it cannot seek.
        numbers: their places among all frames that the file should have, where some between them do not decode.
        doubts: what is wrong with the file, as sentences that follow its name.
    """

    count: int
    pts: tuple[int, ...] | None
    keys: tuple[int, ...]
    numbers: tuple[int, ...] | None = None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Packets:
    """What a file's packets say of its frames; times are None where they do not tell."""

    times: tuple[int, ...] | None
    keys: tuple[int, ...]
    doubts: tuple[str, ...]


def decoded(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Every frame that decodes; packets that are damaged are passed over, as players do."""
    decode = frame_decoder(stream)
    for packet in each_read(container.name, container.demux(stream)):
        try:
            frames = decode(packet)
        except av.error.InvalidDataError:
            continue
        yield from frames


def index_video(path: Path, track: str | None = None) -> VideoIndex:
    """Index a file by its packets, or by decoding it all where the packets cannot be trusted.

    Packets are trusted when each has its own time, and the first frames and those after the last
    starting points decode to exactly these times.
    """
    packets = _read_packets(path, track)
    if packets.times is not None:
        index = VideoIndex(len(packets.times), packets.times, packets.keys, doubts=packets.doubts)
        if _confirmed(path, track, index):
            return index
    container, stream = open_video(path, track)
    with container:
        pts = [frame.pts for frame in decoded(container, stream)]
    times = tuple(time for time in pts if time is not None)
    if packets.times is not None and len(times) == len(pts) and set(times) < set(packets.times):
        return _without_lost(packets.times, times, packets.doubts)
    rise = len(times) == len(pts) and all(a < b for a, b in pairwise(times))
    return VideoIndex(len(pts), times if rise else None, (), doubts=packets.doubts)


def _without_lost(expected: tuple[int, ...], decode: tuple[int, ...], doubts: tuple[str, ...]) -> VideoIndex:
    """The frames that decode, and their places among all that should be there.

    What does not decode before the first one is the end of something that was cut off, which no player shows.
    """
    times = tuple(in_order(decode))
    places = {time: place for place, time in enumerate(time for time in expected if time >= times[0])}
    numbers = tuple(places[time] for time in times)
    if lost := sorted(set(places.values()) - set(numbers)):
        doubt = f"has frames that do not decode: {shown_numbers(lost)} of {len(places)}; the others keep their numbers"
        return VideoIndex(len(times), times, (), numbers, (*doubts, doubt))
    return VideoIndex(len(times), times, (), doubts=doubts)


def in_order(times: Iterable[int]) -> Iterator[int]:
    """Times that rise; a frame that a decoder held back over a damaged part comes out late."""
    last = None
    for time in times:
        if last is None or time > last:
            yield time
            last = time


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


def _read_packets(path: Path, track: str | None) -> _Packets:
    container, stream = open_video(path, track)
    times: list[int] = []
    keys: list[int] = []
    count, damaged, timeless = 0, 0, 0
    with container:
        for packet in each_read(path, container.demux(stream)):
            if packet.size == 0:
                continue
            count += 1
            damaged += packet.is_corrupt
            timeless += packet.pts is None
            if packet.pts is None or packet.is_discard:
                continue
            times.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
        doubts = [f"has {damaged} damaged packets"] if damaged else []
        doubts += _cut_off(stream, count, times)
    if damaged or timeless or not times or len(set(times)) != len(times):
        return _Packets(None, (), tuple(doubts))
    return _Packets(tuple(sorted(times)), tuple(sorted(keys)), tuple(doubts))


def _cut_off(stream: VideoStream, count: int, times: Sequence[int]) -> Iterator[str]:
    """What the header promises and the file does not hold."""
    if 0 < count < stream.frames:
        yield f"is cut off: it should have {stream.frames} frames and has {count}"
        return
    promised = _seconds(next((stream.metadata[name] for name in stream.metadata if name.upper() == "DURATION"), ""))
    if promised is None or stream.time_base is None or len(times) < 2:
        return
    end = float((max(times) + (max(times) - min(times)) / (len(times) - 1)) * stream.time_base)
    if promised - end > max(0.1, 0.02 * promised):
        yield f"is cut off: it should last {promised:.2f} s and ends after {end:.2f} s"


def _seconds(text: str) -> float | None:
    """Matroska's statistics: ``00:00:02.000000000``."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text.strip())
    return None if match is None else int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])


def _confirmed(path: Path, track: str | None, index: VideoIndex) -> bool:
    assert index.pts is not None
    container, stream = open_video(path, track)
    with container:
        head = [frame.pts for frame in islice(decoded(container, stream), _HEAD)]
        if tuple(head) != index.pts[:_HEAD]:
            return False
        if index.count <= _HEAD:
            return True
    container, stream = open_video(path, track)
    with container:
        seek_before(container, stream, index, index.pts[-1])
        tail = [frame.pts for frame in decoded(container, stream)]
    last = index.keys[-1] if index.keys else index.pts[0]
    expected = [time for time in index.pts if time >= last]
    return [time for time in tail if time is not None and time >= last] == expected
