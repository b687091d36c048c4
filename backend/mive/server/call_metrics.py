"""Counts and times every call."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeAlias, cast

import grpc
import grpc.aio

from mive.server.metrics import Metrics
from mive.v1 import mive_pb2

_SERVICE: Final = mive_pb2.DESCRIPTOR.services_by_name["Mive"]
_HEALTH: Final = {"grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"}
_METHODS: Final = _HEALTH | {f"{_SERVICE.full_name}/{method.name}" for method in _SERVICE.methods}
_OTHER: Final = "other"
"""All other methods are one, since anyone can make up names."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class MetricsInterceptor(grpc.aio.ServerInterceptor):
    """Tells `Metrics` of every call by method and code; the first interceptor, so that it sees refused calls too."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """See `grpc.aio.ServerInterceptor`. Handlers have to be coroutines or asynchronous generators."""
        handler = await continuation(handler_call_details)
        path = handler_call_details.method.removeprefix("/")
        method = path if path in _METHODS else _OTHER
        if handler is None:
            self._metrics.calls.labels(method, grpc.StatusCode.UNIMPLEMENTED.name).inc()
            return None
        return self._timed(handler, method)

    def _timed(self, handler: Handler, method: str) -> Handler:
        inner: Any = handler.unary_unary or handler.stream_unary or handler.unary_stream or handler.stream_stream

        async def answer(request: Any, context: Context) -> Any:
            with self._call(method, context):
                return await inner(request, context)

        async def stream(request: Any, context: Context) -> None:
            with self._call(method, context):
                answers = inner(request, context)
                if not inspect.isasyncgen(answers):
                    await answers
                    return
                # A client that goes away ends the generator here and now, not when it is collected as garbage.
                async with contextlib.aclosing(answers):
                    async for message in answers:
                        await context.write(message)

        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        behaviour = stream if handler.response_streaming else answer
        return make(behaviour, handler.request_deserializer, handler.response_serializer)

    @contextlib.contextmanager
    def _call(self, method: str, context: Context) -> Iterator[None]:
        started = time.monotonic()
        code = grpc.StatusCode.UNKNOWN
        try:
            yield
            code = grpc.StatusCode.OK
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            # None unless the handler set one or aborted.
            code = cast("grpc.StatusCode | None", context.code()) or code
            self._metrics.calls.labels(method, code.name).inc()
            self._metrics.call_seconds.labels(method).observe(time.monotonic() - started)
