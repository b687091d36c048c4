"""A small service with all four kinds of calls, for what stands before every service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health

from mive.wire.errors import STATUS_DETAILS

KINDS = ("One", "Down", "Up", "Both")
Say = Callable[[], str]


def service(say: Say) -> grpc.GenericRpcHandler:
    """Answers every request with ``say()``; a request of b"fail" fails, and b"abort" is refused."""

    async def answer(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        await asyncio.sleep(0.001)
        if request == b"fail":
            raise ValueError("a secret")
        if request == b"abort":
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such thing")
        return say().encode()

    async def down(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
        for _ in range(2):
            yield await answer(request, context)

    async def up(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        return [await answer(request, context) async for request in requests][-1]

    async def both(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        async for request in requests:
            await context.write(await answer(request, context))

    return grpc.method_handlers_generic_handler(
        "test.Test",
        {
            "One": grpc.unary_unary_rpc_method_handler(answer),
            "Down": grpc.unary_stream_rpc_method_handler(down),
            "Up": grpc.stream_unary_rpc_method_handler(up),
            "Both": grpc.stream_stream_rpc_method_handler(both),
        },
    )


async def call(
    channel: grpc.aio.Channel, kind: str, request: bytes = b"", metadata: Sequence[tuple[str, str]] = ()
) -> list[str]:
    """The answers to two requests, or to one where the kind takes no more."""
    path, several = f"/test.Test/{kind}", iter((request, request))
    if kind == "One":
        return [(await channel.unary_unary(path)(request, metadata=metadata, timeout=5)).decode()]
    if kind == "Up":
        return [(await channel.stream_unary(path)(several, metadata=metadata, timeout=5)).decode()]
    answers = (
        channel.unary_stream(path)(request, metadata=metadata, timeout=5)
        if kind == "Down"
        else channel.stream_stream(path)(several, metadata=metadata, timeout=5)
    )
    return [answer.decode() async for answer in answers]


async def failure(
    channel: grpc.aio.Channel, kind: str, request: bytes | None = None, metadata: Sequence[tuple[str, str]] = ()
) -> tuple[grpc.StatusCode, str, bytes | None]:
    """Code, message and details of a call that fails.

    Args:
        request: None sends none where the kind has a stream of them. A stream is not ended, since grpc.aio's client
            takes what it cannot send any more for the reason of the failure.
    """
    path = f"/test.Test/{kind}"
    opened: Any
    if kind in ("One", "Down"):
        make = channel.unary_unary if kind == "One" else channel.unary_stream
        opened = make(path)(request or b"", metadata=metadata, timeout=5)
    else:
        opened = channel.stream_stream(path)(metadata=metadata, timeout=5)
        if request is not None:
            await opened.write(request)
    code, message = await opened.code(), await opened.details()
    return code, message, dict(await opened.trailing_metadata()).get(STATUS_DETAILS)


@contextlib.asynccontextmanager
async def serving(
    say: Say,
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    credentials: tuple[grpc.ServerCredentials, grpc.ChannelCredentials] | None = None,
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server with that service and a health service; with credentials of both sides, over TLS."""
    server = grpc.aio.server(interceptors=interceptors)
    server.add_generic_rpc_handlers((service(say),))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    if credentials is None:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    else:
        port = server.add_secure_port("localhost:0", credentials[0])
        channel = grpc.aio.secure_channel(f"localhost:{port}", credentials[1])
    await server.start()
    try:
        async with channel:
            yield channel
    finally:
        await server.stop(None)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Runs a test, for at most 20 seconds."""
    asyncio.run(asyncio.wait_for(test, 20))
