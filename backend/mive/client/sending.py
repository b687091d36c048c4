"""How the bytes that a request names reach the server: by path, by upload, or through shared memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mive.base.jobs import Send, Way
from mive.base.progress import Progress, Report
from mive.client.connection import Connection
from mive.client.info import ServerInfo
from mive.client.strips import sent_from_memory
from mive.client.uploads import upload
from mive.errors import MediaError, RequestError
from mive.media.matte_tracks import as_matte_error
from mive.media.sequence import find_sequence
from mive.request import EditRequest
from mive.v1 import edit_pb2, media_pb2, mive_pb2
from mive.wire.request import Source, request_to_message
from mive.wire.words import fill

_MEGABYTE: Final = 10**6


@dataclass(frozen=True)
class Parcel:
    """A request whose bytes the server can get at.

    Attributes:
        first: index in the client's clip of the server's frame 0.
    """

    request: edit_pb2.EditRequest
    first: int = 0


@asynccontextmanager
async def sent(
    connection: Connection,
    request: EditRequest,
    info: ServerInfo,
    send: Send,
    handles: mive_pb2.Handles,
    report: Report,
) -> AsyncIterator[Parcel]:
    """The request, ready to be submitted inside the block.

    A bundle that the request leaves at its default is the server's to choose.

    Args:
        info: of the server.
        handles: frames besides the range; only frames in memory are cut to both.
        report: told of the stage "send", in megabytes or frames.

    Raises:
        MiveError: a file cannot be read, or the server does not take it in this way.
    """
    first = 0
    async with AsyncExitStack() as memory:
        match chosen(send, request, info, local=connection.address.local):
            case "path":
                message = request_to_message(request.with_sources(lambda path: str(Path(path).absolute())))
            case "upload":
                message = await _by_upload(connection, request, report)
            case "memory":
                region = sent_from_memory(connection, request, info.limits.region_bytes, handles, report)
                message, first = await memory.enter_async_context(region)
        if "bundle" not in request.model_fields_set:
            message.ClearField("bundle")
        yield Parcel(message, first)


def chosen(send: Send, request: EditRequest, info: ServerInfo, *, local: bool) -> Way:
    """The way that is meant.

    Args:
        local: the server is on this machine.

    Raises:
        RequestError: the server does not take it.
    """
    paths = (request.clip, *matte_paths(request).values())
    match send:
        case "auto":
            by_path = local and info.server_paths and all(Path(path).is_absolute() for path in paths)
            return "path" if by_path else "upload"
        case "path" if not (local and info.server_paths):
            why = "does not take paths" if local else "is on another machine, which may see other files"
            raise _not_so("path", f"the server {why}")
        case "memory" if not (local and info.shared_memory):
            why = "has shared memory switched off" if local else "is on another machine, with memory of its own"
            raise _not_so("memory", f"the server {why}")
    return send


def matte_paths(request: EditRequest) -> dict[str, str]:
    """The paths of the mattes that an edit reads, by field: not of ID mattes beside a matte for each instance."""
    unread = {"clip"} if any(one.matte is None or one.linked for one in request.instances) else {"clip", "mattes"}
    return {field: path for field, path in request.sources().items() if field not in unread}


def files_of(path: str) -> tuple[Path, ...]:
    """The files that a clip or matte is read from.

    Raises:
        MediaError: there is none.
    """
    # A hole among mattes may lie where nothing is edited; the server will see which.
    sequence = find_sequence(path, holes=True)
    return (Path(path),) if sequence is None else sequence.files


async def _by_upload(connection: Connection, request: EditRequest, report: Report) -> edit_pb2.EditRequest:
    files = {"clip": files_of(request.clip)}
    files |= {field: _matte_files(path, field) for field, path in matte_paths(request).items()}
    total = sum(_size(file) for group in files.values() for file in group)
    before = 0

    def tell(received: int) -> None:
        report(Progress("send", round((before + received) / _MEGABYTE), max(round(total / _MEGABYTE), 1)))

    sources: dict[str, Source] = {}
    # The clip comes last: it is the largest, and a matte that cannot be read should be known before.
    for field, group in reversed(files.items()):
        source = sources[field] = media_pb2.ClipSource() if field == "clip" else media_pb2.MatteSource()
        for file in group:
            entry = source.files.files.add(upload_id=await upload(connection, file, tell))
            fill(entry, {"name": file.name}, field)
            before += _size(file)
    return request_to_message(request if "mattes" in sources else request.model_copy(update={"mattes": None}), sources)


def _matte_files(path: str, field: str) -> tuple[Path, ...]:
    try:
        return files_of(path)
    except MediaError as error:
        raise as_matte_error(error, field) from error


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise MediaError(f"{file} cannot be read: {error.strerror}", fix="Check the path") from error


def _not_so(send: str, what: str) -> RequestError:
    return RequestError(
        f'{what}, so nothing can be sent by "{send}"',
        expected='"upload", which every server takes',
        fix="Send by upload (--send upload)",
    )
