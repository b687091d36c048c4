"""Sending bytes that the server may have already, or have in part."""

from __future__ import annotations

import asyncio
import hashlib
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

import grpc
from grpc import aio

from mive.client.connection import Connection
from mive.client.errors import NotFound, broken_contract
from mive.errors import MediaError, RequestError
from mive.v1 import mive_pb2
from mive.wire.chunks import CHUNK_BYTES, split_upload
from mive.wire.formats import Data

Sent = Callable[[int], None]
"""Told how many bytes of an upload the server has."""

Source = Path | str | Data | Iterable[Data]
"""A file by its path, or its bytes, whole or in pieces."""

_IN_MEMORY: Final = 16 << 20
"""Bytes that are kept in memory; where there are more, pieces go to a temporary file until all are there."""


@dataclass(frozen=True)
class Upload:
    """Bytes that a server has, or has in part.

    Attributes:
        upload_id: their SHA-256.
        size, received: bytes in all, and those that have arrived.
        complete: all have, and their hash is right.
    """

    upload_id: str
    size: int
    received: int
    complete: bool


async def list_uploads(connection: Connection) -> tuple[Upload, ...]:
    """All uploads of this token, by their ids."""
    found, token = list[Upload](), ""
    while True:
        request = mive_pb2.ListUploadsRequest(page_size=1000, page_token=token)
        page = await connection.call(connection.stub.ListUploads, request)
        found += [Upload(each.upload_id, each.size, each.received, each.complete) for each in page.uploads]
        token = page.next_page_token
        if not token:
            return tuple(found)


async def upload(connection: Connection, source: Source, sent: Sent = lambda received: None) -> str:
    """Sends what the server lacks of some bytes, and returns the upload's id.

    Where the connection breaks, it goes on from where the server says.

    Raises:
        MediaError: the file cannot be read.
        MiveError: the server refuses, or cannot be reached.
    """
    with closing(await asyncio.to_thread(_open, source)) as file:
        digest, size = await _identity(file)
        if size == 0:
            raise RequestError("there are no bytes to upload", expected="1 byte or more", fix="Check the file")
        patience, received = connection.patience(), -1
        while not (status := await _status(connection, digest)).complete:
            if status.received > received:
                patience.renew()
            received = status.received
            try:
                if (await _stream(connection, file, digest, size, received, sent)).complete:
                    return digest
                raise broken_contract(f"an upload of {size} bytes that is incomplete after {size} bytes")
            except aio.AioRpcError as error:
                # Somebody else sends the same bytes, or the server still reads what was sent before the break.
                if connection.refused(error).field in ("header.offset", "chunk.offset"):
                    await patience.wait(error)
                else:
                    await patience.bear(error)
        sent(size)
        return digest


async def _identity(file: IO[bytes]) -> tuple[str, int]:
    """SHA-256 in hex, and size; in pieces, so that it can be broken off."""
    digest = hashlib.sha256()
    while data := await asyncio.to_thread(file.read, _IN_MEMORY):
        await asyncio.to_thread(digest.update, data)
    return digest.hexdigest(), file.tell()


async def _status(connection: Connection, digest: str) -> mive_pb2.UploadStatus:
    try:
        answer = await connection.call(connection.stub.GetUpload, mive_pb2.GetUploadRequest(upload_id=digest))
    except NotFound:
        return mive_pb2.UploadStatus(upload_id=digest)
    return answer.status


async def _stream(
    connection: Connection, file: IO[bytes], digest: str, size: int, offset: int, sent: Sent
) -> mive_pb2.UploadStatus:
    """Sends the bytes from ``offset`` on.

    By gRPC's calls for threads: those for asyncio forget why a server ended a call that is being written to.

    Raises:
        MediaError: the file cannot be read any more.
        AioRpcError: the stream broke off, or was refused.
    """
    broken: list[Exception] = []
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def pieces() -> Iterator[bytes]:
        try:
            file.seek(offset)
            while data := file.read(CHUNK_BYTES):
                yield data
                sent(file.tell())
        except (OSError, ValueError) as error:
            broken.append(error)

    def end(call: object) -> None:
        with suppress(RuntimeError):  # The loop is closed: nobody waits any longer.
            loop.call_soon_threadsafe(ended.set)

    requests = split_upload(digest, size, pieces(), offset=offset)
    call = connection.threads_stub.Upload.future(requests, metadata=connection.metadata)
    call.add_done_callback(end)
    try:
        await ended.wait()
    finally:
        call.cancel()
    if broken:
        raise MediaError(f"a file could not be read to its end: {broken[0]}", fix="Check its disk") from broken[0]
    if call.code() is not grpc.StatusCode.OK:
        metadata = aio.Metadata.from_tuple(tuple(call.trailing_metadata() or ()))
        raise aio.AioRpcError(call.code(), aio.Metadata(), metadata, details=call.details())
    return call.result().status


def _open(source: Source) -> IO[bytes]:
    if isinstance(source, str | Path):
        try:
            return open(source, "rb")
        except OSError as error:
            raise MediaError(
                f"{source} cannot be read: {error.strerror}", expected="a file that can be read", fix="Check the path"
            ) from error
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    file = cast("IO[bytes]", tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115
    for piece in source:
        file.write(piece)
    file.seek(0)
    return file
