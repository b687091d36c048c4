"""How the bytes that a request names reach the server: by path, by upload, or through shared memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mive.client.connection import Connection
from mive.client.info import ServerInfo
from mive.client.strips import sent_from_memory
from mive.client.uploads import upload
from mive.errors import MediaError, RequestError
from mive.jobs import Send, Way
from mive.media.matte_tracks import as_matte_error
from mive.media.sequence import find_sequence
from mive.progress import Progress, Report
from mive.request import EditRequest
from mive.v1 import edit_pb2, media_pb2, mive_pb2
from mive.wire.request import request_to_message
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
    match chosen(send, request, info, local=connection.address.local):
        case "path":
            yield Parcel(_open_bundle(_by_path(request), request))
        case "upload":
            yield Parcel(_open_bundle(await _by_upload(connection, request, report), request))
        case "memory":
            async with sent_from_memory(connection, request, info.limits.region_bytes, handles, report) as made:
                yield Parcel(_open_bundle(made[0], request), made[1])


def chosen(send: Send, request: EditRequest, info: ServerInfo, *, local: bool) -> Way:
    """The way that is meant.

    Args:
        local: the server is on this machine.

    Raises:
        RequestError: the server does not take it.
    """
    paths = (request.clip, *(path for _, path in matte_paths(request)))
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


def matte_paths(request: EditRequest) -> Iterator[tuple[str, str]]:
    """The mattes that an edit reads: each one's field in the request, and its path."""
    if request.mattes is not None and any(instance.matte is None for instance in request.instances):
        yield "mattes", request.mattes
    for index, instance in enumerate(request.instances):
        if instance.matte is not None:
            yield f"instances[{index}].matte", instance.matte


def files_of(path: str) -> tuple[Path, ...]:
    """The files that a clip or matte is read from.

    Raises:
        MediaError: there is none.
    """
    sequence = find_sequence(path)
    return (Path(path),) if sequence is None else sequence.files


def _by_path(request: EditRequest) -> edit_pb2.EditRequest:
    def place(path: str) -> str:
        return str(Path(path).absolute())

    return request_to_message(
        request,
        clip=media_pb2.ClipSource(path=place(request.clip)),
        mattes=None if request.mattes is None else media_pb2.MatteSource(path=place(request.mattes)),
        instance_mattes={
            instance.id: media_pb2.MatteSource(path=place(instance.matte))
            for instance in request.instances
            if instance.matte is not None
        },
    )


async def _by_upload(connection: Connection, request: EditRequest, report: Report) -> edit_pb2.EditRequest:
    files = {"clip": files_of(request.clip)}
    files |= {field: _matte_files(path, field) for field, path in matte_paths(request)}
    total = sum(_size(file) for group in files.values() for file in group)
    before = 0

    def tell(received: int) -> None:
        report(Progress("send", round((before + received) / _MEGABYTE), max(round(total / _MEGABYTE), 1)))

    uploaded: dict[str, media_pb2.UploadedFiles] = {}
    # The clip comes last: it is the largest, and a matte that cannot be read should be known before.
    for field, group in reversed(files.items()):
        uploaded[field] = media_pb2.UploadedFiles()
        for file in group:
            entry = uploaded[field].files.add(upload_id=await upload(connection, file, tell))
            fill(entry, {"name": file.name}, field)
            before += _size(file)
    mattes = uploaded.get("mattes")
    return request_to_message(
        request if mattes is not None else request.model_copy(update={"mattes": None}),
        clip=media_pb2.ClipSource(files=uploaded["clip"]),
        mattes=None if mattes is None else media_pb2.MatteSource(files=mattes),
        instance_mattes={
            instance.id: media_pb2.MatteSource(files=uploaded[f"instances[{index}].matte"])
            for index, instance in enumerate(request.instances)
            if instance.matte is not None
        },
    )


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


def _open_bundle(message: edit_pb2.EditRequest, request: EditRequest) -> edit_pb2.EditRequest:
    if "bundle" not in request.model_fields_set:
        message.ClearField("bundle")
    return message


def _not_so(send: str, what: str) -> RequestError:
    return RequestError(
        f'{what}, so nothing can be sent by "{send}"',
        expected='"upload", which every server takes',
        fix="Send by upload (--send upload)",
    )
