"""What runs at a server, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from mive.errors import MiveError
from mive.v1 import mive_pb2
from mive.wire.errors import error_from_detail
from mive.wire.words import known_word, values_of

LoadState = Literal["unknown", "loading", "ready", "draining", "failed"]

_STATE: Final = mive_pb2.DESCRIPTOR.enum_types_by_name["LoadState"]


@dataclass(frozen=True)
class Device:
    """A device that jobs run on.

    Attributes:
        name: as ``Settings.device`` names it.
        description: what it is, for people.
        memory_bytes, free_bytes: 0 where unknown.
    """

    name: str
    description: str
    memory_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Limits:
    """What a server takes at most; the fields are those of the contract's ``Limits``."""

    message_bytes: int
    chunk_bytes: int
    upload_bytes: int
    frame_bytes: int
    frame_side: int
    job_frames: int
    job_instances: int
    queue_jobs: int
    token_jobs: int
    region_bytes: int
    token_upload_bytes: int


@dataclass(frozen=True)
class ServerInfo:
    """What runs at a server, and what it takes.

    Attributes:
        engine, bundle: what makes the frames.
        state: what can be expected now.
        cause: why loading failed.
        devices: that jobs run on.
        versions: of MIVE, Python, and every package that can change a frame.
        limits: what it takes at most.
        shared_memory: can be used, from the server's machine.
        server_paths: clips and mattes may be named by paths on the server.
        plans: the names that ``Settings.plan`` takes.
        queued, running: jobs of all tokens.
    """

    engine: str
    bundle: str
    state: LoadState
    cause: MiveError | None
    devices: tuple[Device, ...]
    versions: dict[str, str]
    limits: Limits
    shared_memory: bool
    server_paths: bool
    plans: tuple[str, ...]
    queued: int
    running: int


def info_from_message(message: mive_pb2.ServerInfo) -> ServerInfo:
    """What the message tells."""
    return ServerInfo(
        engine=message.engine,
        bundle=message.bundle,
        state=known_word(_STATE, message.state, get_args(LoadState)) or "unknown",
        cause=error_from_detail(message.cause) if message.HasField("cause") else None,
        devices=tuple(Device(**values_of(device)) for device in message.devices),
        versions=dict(message.versions),
        limits=Limits(**values_of(message.limits)),
        shared_memory=message.shared_memory,
        server_paths=message.server_paths,
        plans=tuple(message.plans),
        queued=message.queued,
        running=message.running,
    )
