"""Frames and uploads in pieces of at most 1 MiB, and back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from mive.errors import RequestError
from mive.media.info import Pixels
from mive.v1 import media_pb2, mive_pb2
from mive.wire.formats import (
    LIMITS,
    Data,
    FrameFormat,
    FrameLimits,
    format_from_message,
    format_to_message,
    pack,
    unpack,
)

CHUNK_BYTES: Final = 1 << 20
"""Bytes of data in one message at most; whole float frames are slower and exceed gRPC's message limit."""

ReadRegion = Callable[[media_pb2.RegionSlice], Data]
"""Gives the bytes of a slice of a shared-memory region, bounds checked."""


@dataclass(frozen=True)
class Frame:
    """A frame that arrived.

    Attributes:
        index: in the clip, counted from 0.
        format: as it was declared.
        pixels: ``[H, W]`` or ``[H, W, C]``, top row first.
    """

    index: int
    format: FrameFormat
    pixels: Pixels


class Cursor:
    """Follows bytes of a declared size that arrive in order, and refuses all others.

    Args:
        size: how many bytes there are in all.
        received: how many of them are there already.
        what: what they make up, for errors.
    """

    def __init__(self, size: int, *, received: int = 0, what: str = "upload") -> None:
        self.size = size
        self.received = received
        self._what = what

    @property
    def complete(self) -> bool:
        """All bytes have arrived."""
        return self.received == self.size

    def accept(self, offset: int, length: int) -> None:
        """Takes note of ``length`` bytes at ``offset``.

        Raises:
            RequestError: they overlap what is there, leave a gap, go beyond the declared size, or are none or too many.
        """
        if not 1 <= length <= CHUNK_BYTES:
            self._refuse("data", f"a chunk of {length} bytes", f"1 to {CHUNK_BYTES} bytes")
        if offset != self.received:
            kind = "overlaps what has arrived" if offset < self.received else "leaves a gap"
            self._refuse("offset", f"a chunk at {offset} {kind}", f"the chunk at {self.received}")
        if offset + length > self.size:
            self._refuse("data", f"the bytes go on to {offset + length}", f"{self.size} bytes in all, as declared")
        self.received += length

    def finish(self) -> None:
        """Takes note of the end.

        Raises:
            RequestError: bytes are missing.
        """
        if not self.complete:
            self._refuse("data", f"it ends after {self.received} bytes", f"{self.size} bytes, as declared")

    def _refuse(self, name: str, what: str, expected: str) -> None:
        fix = f"Send the {self._what}'s bytes once, in order, in chunks of at most {CHUNK_BYTES} bytes"
        raise RequestError(what, expected=expected, fix=fix, field=f"chunk.{name}")


def split_frame(index: int, frame: Pixels, layout: FrameFormat) -> Iterator[media_pb2.FrameChunk]:
    """The pieces of a frame ``[H, W]`` or ``[H, W, C]``, top row first; see :func:`mive.wire.formats.pack`."""
    data = pack(frame, layout)
    yield from split_bytes(index, data, frame_header(data, layout))


def split_bytes(index: int, data: memoryview, header: media_pb2.FrameHeader) -> Iterator[media_pb2.FrameChunk]:
    """The pieces of a frame whose bytes and header are there already."""
    for offset in range(0, len(data), CHUNK_BYTES):
        piece = bytes(data[offset : offset + CHUNK_BYTES])
        yield media_pb2.FrameChunk(frame=index, header=None if offset else header, offset=offset, data=piece)


def frame_header(data: memoryview, layout: FrameFormat) -> media_pb2.FrameHeader:
    """What is sent before the bytes of a frame.

    Args:
        data: all of them, as `mive.wire.formats.pack` gives them.
    """
    return media_pb2.FrameHeader(format=format_to_message(layout), size=layout.size, xxh3=xxhash.xxh3_128_digest(data))


def join_frames(
    chunks: Iterable[media_pb2.FrameChunk], *, limits: FrameLimits = LIMITS, read_region: ReadRegion | None = None
) -> Iterator[Frame]:
    """The frames that the pieces make up, each as soon as it is whole.

    Args:
        limits: checked before anything is allocated.
        read_region: reads frames that were put into shared memory.

    Raises:
        RequestError: a piece is missing, comes twice, is too large, or belongs elsewhere.
    """
    joiner = FrameJoiner(limits=limits, read_region=read_region)
    for chunk in chunks:
        if (frame := joiner.add(chunk)) is not None:
            yield frame
    joiner.finish()


class FrameJoiner:
    """Puts frames together from pieces as they arrive; :func:`join_frames` for streams that push."""

    def __init__(self, *, limits: FrameLimits = LIMITS, read_region: ReadRegion | None = None) -> None:
        self._limits = limits
        self._read_region = read_region
        self._current: _Partial | None = None

    def add(self, chunk: media_pb2.FrameChunk) -> Frame | None:
        """Takes a piece, and returns the frame that it completes.

        Raises:
            RequestError: as :func:`join_frames` says.
        """
        if chunk.HasField("header"):
            self._begin(chunk)
        current = self._current
        if current is None:
            raise _refused("header", "a frame begins without its header", "the header in a frame's first chunk")
        if chunk.frame != current.index:
            raise _refused("frame", f"a chunk of frame {chunk.frame}", f"the rest of frame {current.index}")
        match chunk.WhichOneof("body"):
            case "data":
                complete = current.add(chunk.offset, chunk.data)
            case "region":
                complete = current.take(self._region(chunk, current))
            case _:
                raise _refused("data", "a chunk has no bytes", "data, or a region")
        if not complete:
            return None
        self._current = None
        current.check()
        return Frame(current.index, current.layout, unpack(current.data, current.layout))

    def finish(self) -> None:
        """Takes note of the end of the stream.

        Raises:
            RequestError: the last frame is not whole.
        """
        if self._current is not None:
            self._current.cursor.finish()

    def _begin(self, chunk: media_pb2.FrameChunk) -> None:
        if self._current is not None:
            self._current.cursor.finish()
        layout = format_from_message(chunk.header.format, limits=self._limits, at="header.format")
        if chunk.header.size != layout.size:
            expected = f"{layout.size} bytes, as the format takes"
            raise _refused("header.size", f"a declared size of {chunk.header.size} bytes", expected)
        self._current = _Partial(chunk.frame, layout, chunk.header.xxh3)

    def _region(self, chunk: media_pb2.FrameChunk, current: _Partial) -> Data:
        if self._read_region is None:
            raise _refused("region", "a frame lies in a region that was not asked for", "the frame's bytes")
        if chunk.region.size != current.layout.size:
            raise _refused("region.size", f"{chunk.region.size} bytes", f"{current.layout.size} bytes, as declared")
        return self._read_region(chunk.region)


class _Partial:
    """A frame that is arriving."""

    def __init__(self, index: int, layout: FrameFormat, xxh3: bytes) -> None:
        self.index = index
        self.layout = layout
        self.xxh3 = xxh3
        self.cursor = Cursor(layout.size, what="frame")
        self._buffer: NDArray[np.uint8] | None = None
        self.data: Data = b""

    def add(self, offset: int, data: bytes) -> bool:
        """Takes bytes, and tells whether the frame is whole."""
        self.cursor.accept(offset, len(data))
        if self._buffer is None:
            self._buffer = np.empty(self.layout.size, np.uint8)
            self.data = self._buffer.data
        self._buffer[offset : offset + len(data)] = np.frombuffer(data, np.uint8)
        return self.cursor.complete

    def check(self) -> None:
        """Compares all the bytes with their hash, where one was sent."""
        if self.xxh3 and xxhash.xxh3_128_digest(self.data) != self.xxh3:
            raise RequestError(
                f"frame {self.index} was damaged on its way: its bytes are not those of its hash",
                expected="the bytes that were sent",
                fix="Fetch it again; if it stays so, look at the memory and disks of both machines",
                field="chunk.header.xxh3",
            )

    def take(self, data: Data) -> bool:
        """Takes the whole frame at once."""
        if self.cursor.received:
            raise _refused("region", "a frame comes half as bytes and half in a region", "one of them")
        self.data = data
        return True


def upload_id_of(data: Data) -> str:
    """The name of an upload: SHA-256 of its bytes, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def split_upload(
    upload_id: str, size: int, pieces: Iterable[Data], *, offset: int = 0
) -> Iterator[mive_pb2.UploadRequest]:
    """The messages of an upload stream.

    Args:
        upload_id: SHA-256 of all the bytes, in hex.
        size: how many bytes there are in all.
        pieces: the bytes from ``offset`` on, cut as it comes; larger pieces are cut again.
        offset: how many bytes the server has already.
    """
    yield mive_pb2.UploadRequest(header=mive_pb2.UploadHeader(upload_id=upload_id, size=size, offset=offset))
    for piece in pieces:
        view = memoryview(piece).cast("B")
        for start in range(0, len(view), CHUNK_BYTES):
            data = bytes(view[start : start + CHUNK_BYTES])
            yield mive_pb2.UploadRequest(chunk=media_pb2.DataChunk(offset=offset, data=data))
            offset += len(data)


def begin_upload(header: mive_pb2.UploadHeader, *, received: int, most: int) -> Cursor:
    """Checks an upload's header, and returns what its chunks are checked by.

    Args:
        received: how many bytes are there already.
        most: how many bytes an upload may have.

    Raises:
        RequestError: the id is no SHA-256, the size is not allowed, or the stream begins in the wrong place.
    """
    check_upload_id(header.upload_id, "header.upload_id")
    fix = "Upload less, or cut the clip"
    if not 1 <= header.size <= most:
        raise RequestError(
            f"an upload of {header.size} bytes", expected=f"1 to {most} bytes", fix=fix, field="header.size"
        )
    if received > header.size:
        expected = f"the same size as before, more than {received} bytes"
        fix = "Declare the size of the bytes that the id is the SHA-256 of"
        raise RequestError(f"a size of {header.size} bytes", expected=expected, fix=fix, field="header.size")
    if header.offset != received:
        fix = "Ask GetUpload how much has arrived, and go on from there"
        what = f"the stream begins at {header.offset}"
        raise RequestError(what, expected=f"{received}, as much as has arrived", fix=fix, field="header.offset")
    return Cursor(header.size, received=received)


def check_upload_id(upload_id: str, field: str) -> None:
    """Refuses what cannot be the name of an upload, so that it is safe as the name of a file.

    Raises:
        RequestError: it is not 64 lower-case hexadecimal digits.
    """
    if not re.fullmatch("[0-9a-f]{64}", upload_id):
        raise RequestError(
            "the upload id is no SHA-256",
            expected="64 lower-case hexadecimal digits",
            fix="Use the SHA-256 of the bytes",
            field=field,
        )


def _refused(name: str, what: str, expected: str) -> RequestError:
    fix = "Send each frame's chunks together and in order, the first one with the header"
    return RequestError(what, expected=expected, fix=fix, field=f"chunk.{name}")
