"""A whole server: built from its configuration, served, drained."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import platform
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from mive import __version__
from mive.errors import RequestError
from mive.manifest import package_versions
from mive.plans import PLAN_NAMES
from mive.server.auth import AuthInterceptor
from mive.server.call_metrics import MetricsInterceptor
from mive.server.config import MESSAGE_BYTES, ServerConfig, check_safe, limits_message
from mive.server.exports import Exports
from mive.server.files import make_folder
from mive.server.house import House
from mive.server.http import HALF_OPEN_SECONDS, serve_metrics
from mive.server.inputs import Inputs
from mive.server.loops import going_on
from mive.server.memory import keep_buffers
from mive.server.metrics import Metrics
from mive.server.options import Folders, WorkerOptions
from mive.server.raw_inputs import InputLimits
from mive.server.regions import Regions
from mive.server.results import Results
from mive.server.roots import Roots
from mive.server.rpc.board import Board
from mive.server.rpc.frames import FrameCalls
from mive.server.rpc.jobs import VANISHED, JobCalls, JobRules
from mive.server.rpc.pulse import Pulse
from mive.server.rpc.readiness import SERVICE, Readiness
from mive.server.rpc.refusals import Refusals
from mive.server.rpc.service import MiveService
from mive.server.rpc.transfers import TransferCalls
from mive.server.rpc.watching import Watching
from mive.server.store import JobStore
from mive.server.supervisor import Supervisor, Workers
from mive.server.tls import server_credentials
from mive.server.tokens import Tokens
from mive.server.uploads import Uploads
from mive.server.work import Pools, Turns
from mive.v1 import mive_pb2, mive_pb2_grpc
from mive.wire.errors import error_to_detail
from mive.wire.formats import FrameLimits

REGIONS_PER_OWNER: Final = 16
STAGINGS: Final = 2
WAITING_STAGINGS: Final = 32
"""Of one token at once: requests whose frames are written, and those that wait for that."""

KEEPING_SECONDS: Final = 60.0
"""How often what nobody needs any longer is removed."""

_DRAIN_SHARE: Final = 0.8
"""Of the time to drain: what workers give a running job, so that its last step and checkpoint fit into the rest."""

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    # Two servers on one port would share the calls at random.
    ("grpc.so_reuseport", 0),
    # A client whose machine or network is gone is noticed after a few seconds.
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
    # A connection on which nobody begins to speak, or to encrypt, is no client.
    ("grpc.server_handshake_timeout_ms", int(HALF_OPEN_SECONDS * 1000)),
)

log = logging.getLogger(__name__)

MakeWorkers = Callable[[JobStore, list[WorkerOptions]], Workers]


def worker_processes(store: JobStore, options: list[WorkerOptions]) -> Workers:
    """Workers as processes on this machine."""
    return Supervisor(store.leases, options)


@dataclass(frozen=True)
class Parts:
    """What a server consists of, besides gRPC."""

    config: ServerConfig
    folders: Folders
    store: JobStore
    house: House
    results: Results
    regions: Regions
    inputs: Inputs
    workers: Workers
    metrics: Metrics
    readiness: Readiness
    health: health.aio.HealthServicer
    pulse: Pulse
    service: MiveService

    @classmethod
    def of(cls, config: ServerConfig, make_workers: MakeWorkers) -> Parts:
        """Build them all; nothing runs yet.

        Raises:
            MiveError: the data folder or the configuration cannot be used.
        """
        limits, folders = config.limits, Folders(data=config.data)
        store = JobStore(folders.jobs, limits.queue_jobs, limits.token_jobs or None, check=True)
        house = House(store.database)
        workers = make_workers(store, worker_options(config))
        results = Results(folders.results, limits.results_bytes)
        regions = Regions(
            folders.regions,
            limit_bytes=limits.region_bytes if config.shared_memory else 0,
            owner_regions=REGIONS_PER_OWNER,
        )
        uploads = Uploads(
            folders.uploads,
            upload_bytes=limits.upload_bytes,
            owner_bytes=limits.token_upload_bytes,
            keep_seconds=config.keep.uploads_seconds,
            clock=house.now,
        )
        input_limits = InputLimits(
            FrameLimits(limits.frame_side, limits.frame_bytes), limits.job_frames, limits.token_upload_bytes
        )
        inputs = Inputs(folders.inputs, uploads, regions, roots=config.path_roots, limits=input_limits, clock=house.now)
        checks = health.aio.HealthServicer()
        readiness, pulse = Readiness(workers, checks), Pulse(store.database)
        board = Board(store, pulse)
        roots = Roots(config.path_roots, closed=config.data)
        rules = JobRules(config.bundle, roots, limits.job_instances, limits.job_frames)
        metrics, pools = Metrics(store, workers, folders), Pools()
        turns = Turns(STAGINGS, WAITING_STAGINGS)
        service = MiveService(
            info=lambda: server_info(config, readiness, store),
            jobs=JobCalls(store, results, inputs, rules, readiness.check, pools, turns),
            watching=Watching(store, board, inputs.redact),
            frames=FrameCalls(store, results, regions, pulse, pools, turns, Exports(folders.exports)),
            transfers=TransferCalls(uploads, regions, pools, metrics.upload_bytes.inc),
        )
        return cls(
            config, folders, store, house, results, regions, inputs, workers, metrics, readiness, checks, pulse, service
        )


async def serve(
    config: ServerConfig,
    listening: Callable[[str], None] = lambda address: None,
    make_workers: MakeWorkers = worker_processes,
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP (the terminal went), then drain.

    Args:
        listening: told the address once calls are answered; models load meanwhile.
        make_workers: who edits.

    Raises:
        MiveError: the server cannot start.
    """
    check_safe(config)
    keep_buffers()
    make_folder(config.data, "the data folder")
    with _alone(config):
        parts = Parts.of(config, make_workers)
        try:
            parts.store.cancel_watched(VANISHED)
            async with _running(parts) as address:
                listening(address)
                log.info("listening on %s", address)
                await _stopped()
                log.info("draining")
                await parts.readiness.drain()
                await asyncio.to_thread(parts.workers.drain, config.drain_seconds)
        finally:
            parts.service.jobs.pools.close()
            parts.regions.close_all()
            parts.store.close()
    log.info("ended")


@contextlib.asynccontextmanager
async def _running(parts: Parts) -> AsyncIterator[str]:
    """A server that answers and workers that edit."""
    config = parts.config
    tokens = None if config.auth.tokens_file is None else Tokens.load(config.auth.tokens_file)
    interceptors = (MetricsInterceptor(parts.metrics), AuthInterceptor(tokens), Refusals(parts.inputs.redact))
    server = grpc.aio.server(interceptors=interceptors, options=_OPTIONS)
    mive_pb2_grpc.add_MiveServicer_to_server(parts.service, server)
    health_pb2_grpc.add_HealthServicer_to_server(parts.health, server)
    if config.reflection:
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
    address = _bind(server, config)
    tasks: list[asyncio.Task[None]] = []
    await parts.readiness.start()
    await server.start()
    scraped = None
    try:
        if config.metrics_address is not None:
            scraped = serve_metrics(config.metrics_address, parts.metrics.registry)
        await asyncio.to_thread(parts.workers.start)
        for job in (
            parts.readiness.run(parts.pulse),
            parts.pulse.run(),
            parts.service.watching.board.run(),
            _keep_house(parts),
        ):
            tasks.append(asyncio.create_task(job))
        yield address
    finally:
        await server.stop(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(parts.workers.drain, 0)
        if scraped is not None:
            await asyncio.to_thread(scraped.stop)


def _bind(server: grpc.aio.Server, config: ServerConfig) -> str:
    target, credentials = config.address.target, server_credentials(config.tls)
    try:
        port = _add_port(server, target, credentials)
    except RuntimeError as error:
        raise RequestError(
            f"the server cannot listen on {target}",
            expected="a free port of an address of this machine",
            fix='Choose another address, or stop what listens there ("ss -ltnp" shows it)',
            field="listen",
        ) from error
    return target if config.address.path is not None else target.rpartition(":")[0] + f":{port}"


def _add_port(server: grpc.aio.Server, target: str, credentials: grpc.ServerCredentials | None) -> int:
    if credentials is None:
        return server.add_insecure_port(target)
    return server.add_secure_port(target, credentials)


async def _stopped() -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def _keep_house(parts: Parts) -> None:
    while True:
        with going_on("what is no longer needed could not be removed"):
            await asyncio.to_thread(keep_house, parts)
        await asyncio.sleep(KEEPING_SECONDS)


def keep_house(parts: Parts) -> None:
    """Remove uploads, inputs, jobs and results that nobody needs any longer."""
    keep, now = parts.config.keep, parts.house.advance()
    with going_on("old uploads could not be removed"):
        parts.service.transfers.uploads.sweep()
    with going_on("old inputs could not be removed"):
        needed = [path for request in parts.store.unfinished() for path in request.sources().values()]
        parts.inputs.sweep(needed, keep.uploads_seconds)
    for job in parts.store.forget(now, keep.jobs_days * 86400):
        with going_on("a job's frames could not be removed"):
            parts.results.remove(job)
    parts.results.prune()


def worker_options(config: ServerConfig) -> list[WorkerOptions]:
    """One worker per device."""
    return [
        WorkerOptions(
            data=config.data,
            name=f"worker{number}",
            device=device,
            engine=config.engine,
            bundle=config.bundle,
            lease_seconds=config.lease_seconds,
            drain_seconds=config.drain_seconds * _DRAIN_SHARE,
            results_limit=max(config.limits.results_bytes, 1),
            inversions_limit=max(config.limits.inversions_bytes, 1),
            log=config.log,
            most_frames=config.limits.job_frames,
            longest_side=config.limits.frame_side,
            matte_bytes=config.limits.matte_bytes,
            read_seconds=config.limits.read_seconds,
        )
        for number, device in enumerate(config.devices)
    ]


def server_info(config: ServerConfig, readiness: Readiness, store: JobStore) -> mive_pb2.ServerInfo:
    """What clients are told of the server."""
    counts = store.counts()
    info = mive_pb2.ServerInfo(
        engine=config.engine,
        bundle=config.bundle,
        state=readiness.state,
        versions={"mive": __version__, "python": platform.python_version(), **package_versions()},
        limits=limits_message(config),
        shared_memory=config.shared_memory,
        server_paths=bool(config.path_roots),
        plans=PLAN_NAMES,
        queued=counts["queued"],
        running=counts["running"],
    )
    if info.state == mive_pb2.LOAD_STATE_FAILED and readiness.cause is not None:
        info.cause.CopyFrom(error_to_detail(readiness.cause))
    for status in readiness.statuses:
        device = info.devices.add(name=status.device, description=status.about.description)
        device.memory_bytes, device.free_bytes = status.about.memory_bytes, status.about.free_bytes
    return info


@contextlib.contextmanager
def _alone(config: ServerConfig) -> Iterator[None]:
    """Only one server uses a data folder: two would take each other's uploads and regions for left-overs."""
    descriptor = os.open(Folders(data=config.data).lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise RequestError(
            f"another mive-server uses the data folder {config.data}",
            expected="a data folder for every server",
            fix="Stop the other one, or choose another folder with --data",
            field="data",
        ) from error
    finally:
        os.close(descriptor)
