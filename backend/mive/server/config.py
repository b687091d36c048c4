"""What an operator decides about a server; :mod:`mive.server.config_loading` reads it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, Strict, WrapValidator, model_validator
from pydantic.types import AllowInfNan
from pydantic_settings import NoDecode

from mive.base.validation import Model, reject
from mive.errors import RequestError
from mive.request import USUAL_BUNDLE
from mive.server.address import Address
from mive.server.logs import LogOptions
from mive.server.options import INVERSIONS_LIMIT, LONGEST_SIDE, MATTE_BYTES, MOST_FRAMES, READ_SECONDS
from mive.server.results import DEFAULT_LIMIT as RESULTS_LIMIT
from mive.settings import USUAL_ENGINE, EngineName
from mive.v1 import mive_pb2
from mive.wire.chunks import CHUNK_BYTES
from mive.wire.formats import LIMITS as FRAME_LIMITS

MESSAGE_BYTES: Final = 4 << 20
"""Bytes of one gRPC message; frames and uploads travel in smaller chunks."""

_GIB: Final = 1 << 30


def _number(value: object) -> object:
    """Environment variables are text."""
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
    return value


def _words(value: object) -> object:
    """Lists are written with commas where there is nothing but text."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _not_empty(value: Sequence[str]) -> Sequence[str]:
    if not value:
        reject("no device is named", expected="one or more, such as cuda:0", fix='Write "auto" for the best there is')
    return value


def _address(text: str) -> str:
    return Address.parse(text).target


def _metrics_address(value: object) -> object:
    return f"127.0.0.1:{value}" if re.fullmatch(r"\d+", str(value)) else value


def _port_only(text: str) -> str:
    if Address.parse(text).path is not None:
        reject("metrics are not served on a socket", expected="a port or HOST:PORT", fix='Write for instance "9464"')
    return text


def _not_blank(value: object) -> object:
    if value == "":
        reject("it is empty", expected="a path", fix="Write one, or leave it out")
    return value


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _size(value: object, read: Any) -> ByteSize:
    try:
        size = ByteSize(-1 if isinstance(value, bool) else read(value))
    except ValueError:
        size = ByteSize(-1)
    if size < 0:
        reject(f'"{value}" is no size', expected='bytes, 0 or more, or text such as "64 GiB"', fix="Write it like that")
    return size


WholeNumber = Annotated[int, BeforeValidator(_number), Strict()]
Seconds = Annotated[float, BeforeValidator(_number), Strict(), AllowInfNan(False)]
Size = Annotated[ByteSize, WrapValidator(_size)]
Listen = Annotated[str, AfterValidator(_address)]
MetricsListen = Annotated[Listen, BeforeValidator(_metrics_address), AfterValidator(_port_only)]
OnDisk = Annotated[Path, BeforeValidator(_not_blank), AfterValidator(_absolute)]
Devices = Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(_not_empty), NoDecode]
Roots = Annotated[tuple[OnDisk, ...], BeforeValidator(_words), NoDecode]


class AuthOptions(Model):
    """Who may call."""

    tokens_file: OnDisk | None = Field(
        default=None, description="the file of token hashes; without one nobody is asked who they are"
    )


class TlsOptions(Model):
    """How calls are encrypted; all files are PEM."""

    certificate: OnDisk | None = Field(default=None, description="the server's certificate, followed by its issuers")
    key: OnDisk | None = Field(default=None, description="the certificate's private key, without a password")
    client_ca: OnDisk | None = Field(
        default=None, description="the issuers of client certificates; every client then needs one (mTLS)"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name, present in (("certificate", self.certificate), ("key", self.key)):
            if present is None and any((self.certificate, self.key, self.client_ca)):
                reject("it is missing", expected="both tls.certificate and tls.key", fix=f"Add tls.{name}", at=(name,))
        return self


class LimitOptions(Model):
    """What is taken at most; checked before anything is stored or allocated."""

    queue_jobs: WholeNumber = Field(default=64, ge=1, description="the number of jobs that may wait")
    token_jobs: WholeNumber = Field(
        default=0, ge=0, description="the number of one token's jobs that may wait or run; 0: no limit"
    )
    upload_bytes: Size = Field(default=ByteSize(64 * _GIB), description="the size of one upload")
    token_upload_bytes: Size = Field(
        default=ByteSize(256 * _GIB), description="the size of one token's uploads; 0: no limit"
    )
    frame_bytes: Size = Field(default=ByteSize(FRAME_LIMITS.frame_bytes), description="the size of one frame")
    frame_side: WholeNumber = Field(default=LONGEST_SIDE, ge=8, description="the pixels of a frame's longer side")
    job_frames: WholeNumber = Field(default=MOST_FRAMES, ge=1, description="the number of frames of one job")
    job_instances: WholeNumber = Field(default=256, ge=1, description="the number of instances of one job")
    matte_bytes: Size = Field(
        default=ByteSize(MATTE_BYTES), description="the memory of all mattes of one frame, known before a job starts"
    )
    read_seconds: Seconds = Field(
        default=READ_SECONDS, gt=0, description="the time that a file may keep a job waiting for one frame"
    )
    region_bytes: Size = Field(default=ByteSize(4 * _GIB), description="the size of one shared-memory region")
    results_bytes: Size = Field(
        default=ByteSize(RESULTS_LIMIT), description="the size of finished jobs' frames; the longest unused go first"
    )
    inversions_bytes: Size = Field(
        default=ByteSize(INVERSIONS_LIMIT), description="the size of inversions kept for new captions; likewise"
    )


class KeepOptions(Model):
    """How long things are kept."""

    uploads_seconds: Seconds = Field(
        default=86400.0, ge=0, description="the time, while the server runs, that an upload outlives its last use"
    )
    jobs_days: Seconds = Field(
        default=30.0, ge=0, description="the time, while the server runs, that a finished job can be listed"
    )


def _state_folder() -> Path:
    """After the XDG Base Directory Specification, which ignores relative paths."""
    root = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (root if root.is_absolute() else Path.home() / ".local" / "state") / "mive"


class ServerConfig(Model):
    """All that an operator decides."""

    listen: Listen = Field(
        default="127.0.0.1:7433",
        description="the address: HOST:PORT or unix:///PATH; not loopback only with tls and auth",
    )
    engine: EngineName = Field(default=USUAL_ENGINE, description="the engine that runs the models: torch, trt or auto")
    bundle: str = Field(default=USUAL_BUNDLE, description="the model bundle that is loaded: its name, folder or hub id")
    devices: Devices = Field(default=("auto",), description="the devices, one worker on each, such as cuda:0")
    data: OnDisk = Field(
        default_factory=_state_folder, description="the folder of jobs, uploads, checkpoints and results"
    )
    server_paths: Roots | None = Field(
        default=None,
        description="the folders in which clients may name clips; not set: all on loopback, none elsewhere",
    )
    shared_memory: bool = Field(default=False, description="true or false: whether local clients get shared memory")
    metrics_listen: MetricsListen | None = Field(
        default=None, description="the port (of loopback) or HOST:PORT of the metrics, plain HTTP; not set: none"
    )
    drain_seconds: Seconds = Field(default=30.0, ge=0, description="the time that running jobs have after SIGTERM")
    lease_seconds: Seconds = Field(default=15.0, ge=1, description="the time that a silent worker keeps its job")
    log: LogOptions = LogOptions()
    auth: AuthOptions = AuthOptions()
    tls: TlsOptions = TlsOptions()
    limits: LimitOptions = LimitOptions()
    keep: KeepOptions = KeepOptions()

    @cached_property
    def address(self) -> Address:
        """Where clients are listened to."""
        return Address.parse(self.listen)

    @property
    def metrics_address(self) -> Address | None:
        """Where metrics are served; None where they are not."""
        return None if self.metrics_listen is None else Address.parse(self.metrics_listen)

    @property
    def reflection(self) -> bool:
        """Whether strangers may ask what the service can do."""
        return self.address.loopback

    @property
    def path_roots(self) -> tuple[Path, ...]:
        """Folders below which clients may name clips and mattes by path."""
        if self.server_paths is not None:
            return self.server_paths
        return (Path("/"),) if self.address.loopback else ()


def check_safe(config: ServerConfig) -> None:
    """Refuses to serve other machines without both TLS and tokens.

    Raises:
        RequestError: saying what to add.
    """
    missing = []
    if config.tls.certificate is None:
        missing.append("tls.certificate and tls.key")
    if config.auth.tokens_file is None:
        missing.append('auth.tokens_file (see "mive-server token --help")')
    if missing and not config.address.loopback:
        raise RequestError(
            f"other machines could reach {config.listen} without encryption or a token",
            expected="TLS and tokens on every address but loopback (127.0.0.1, [::1], unix:///PATH)",
            fix=f"Add {' and '.join(missing)}; or listen on 127.0.0.1 and let clients come through an SSH tunnel",
            field="listen",
        )


def limits_message(config: ServerConfig) -> mive_pb2.Limits:
    """The limits that clients are told."""
    limits = config.limits
    return mive_pb2.Limits(
        message_bytes=MESSAGE_BYTES,
        chunk_bytes=CHUNK_BYTES,
        upload_bytes=limits.upload_bytes,
        frame_bytes=limits.frame_bytes,
        frame_side=limits.frame_side,
        job_frames=limits.job_frames,
        job_instances=limits.job_instances,
        queue_jobs=limits.queue_jobs,
        token_jobs=limits.token_jobs,
        region_bytes=limits.region_bytes if config.shared_memory else 0,
        token_upload_bytes=limits.token_upload_bytes,
    )
