"""Frames of a job as files that the server makes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import IO

from grpc import aio

from mive.base.atomic import Staging, output_errors
from mive.client.connection import Connection
from mive.client.errors import broken_contract, from_server
from mive.v1 import mive_pb2
from mive.wire.chunks import Cursor


async def export(connection: Connection, request: mive_pb2.ExportFramesRequest, folder: Path) -> tuple[Path, ...]:
    """The files, in a folder that is made if need be; all of them appear, or none.

    Raises:
        OutputError: they cannot be written.
        MiveError: the server refuses, cannot be reached, or sends something else.
    """
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    staging = Staging(folder / "export")
    try:
        names = await _receive(connection, request, staging.folder)
        staging.commit([folder / name for name in names])
    finally:
        staging.discard()
    return tuple(folder / name for name in names)


async def _receive(connection: Connection, request: mive_pb2.ExportFramesRequest, into: Path) -> list[str]:
    call = connection.stub.ExportFrames(request, metadata=connection.metadata)
    names, file, cursor = list[str](), None, Cursor(0, what="file")
    try:
        async for piece in call:
            if piece.name:
                file, cursor = _next(file, cursor, piece, into, names)
            if file is None:
                raise broken_contract("a piece of a file without a name")
            with from_server():
                cursor.accept(piece.chunk.offset, len(piece.chunk.data))
            with output_errors(piece.name or "the files"):
                await asyncio.to_thread(file.write, piece.chunk.data)
        with from_server():
            cursor.finish()
    except aio.AioRpcError as error:
        raise connection.refused(error) from error
    finally:
        call.cancel()
        if file is not None:
            with output_errors("the files"):
                file.close()
    return names


def _next(
    file: IO[bytes] | None, cursor: Cursor, piece: mive_pb2.ExportFramesResponse, into: Path, names: list[str]
) -> tuple[IO[bytes], Cursor]:
    """The next file, when the last one is whole."""
    with from_server():
        cursor.finish()
    if file is not None:
        file.close()
    if Path(piece.name).name != piece.name or piece.name.startswith(".") or piece.name in names:
        raise broken_contract("a file with a name that is none")
    names.append(piece.name)
    with output_errors(piece.name):
        return (into / piece.name).open("wb"), Cursor(piece.size, what="file")
