"""Errors as rich gRPC statuses: handlers raise `MiveError`, and the client gets what, expected and fix."""

from __future__ import annotations

import inspect
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from google.rpc import code_pb2

from mive.errors import MiveError, OutputError, RequestError
from mive.server import errors as of_server
from mive.server.errors import TryLater
from mive.wire.errors import STATUS_DETAILS, error_to_status, status_code

_CODES: Final[dict[type[MiveError], int]] = {
    of_server.DeadlinePassed: code_pb2.DEADLINE_EXCEEDED,
    of_server.JobNotFound: code_pb2.NOT_FOUND,
    of_server.KeyReused: code_pb2.ALREADY_EXISTS,
    of_server.NoSharedMemory: code_pb2.FAILED_PRECONDITION,
    of_server.NotReady: code_pb2.UNAVAILABLE,
    of_server.NotThereYet: code_pb2.FAILED_PRECONDITION,
    of_server.QueueFull: code_pb2.RESOURCE_EXHAUSTED,
    of_server.QuotaExceeded: code_pb2.RESOURCE_EXHAUSTED,
    of_server.RegionNotFound: code_pb2.NOT_FOUND,
    of_server.ResultsGone: code_pb2.FAILED_PRECONDITION,
    of_server.UploadBusy: code_pb2.ABORTED,
    of_server.UploadNotFound: code_pb2.NOT_FOUND,
    of_server.UploadTaken: code_pb2.ABORTED,
}
_STATUS_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Method: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Handler = Callable[[Any, Context], Any]
Read: TypeAlias = "Callable[[bytes], Any] | None"

log = logging.getLogger(__name__)


def code_of(error: MiveError) -> int:
    """The canonical code (``google.rpc.Code``) that an error travels under."""
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), status_code(error))


async def refuse(context: Context, error: MiveError) -> NoReturn:
    """End a call with an error and all its details."""
    retry_after = error.retry_after if isinstance(error, TryLater) else None
    status = error_to_status(error, code=code_of(error), retry_after=retry_after)
    details = ((STATUS_DETAILS, status.SerializeToString()),)
    await context.abort(_STATUS_CODES[status.code], status.message, details)
    raise AssertionError("abort raises")


class Refusals(grpc.aio.ServerInterceptor):
    """Turns what handlers raise into statuses, whatever kind of call it is.

    Args:
        redact: takes the server's own paths out of a text.
    """

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Method | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Method | None:
        """See `grpc.aio.ServerInterceptor`. Handlers have to be coroutines or asynchronous generators."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        # Requests come as bytes and are read here: gRPC's answer to those that cannot be read has no details.
        write, read = handler.response_serializer, handler.request_deserializer
        if handler.unary_unary is not None:
            answer = self._answer(_reading(handler.unary_unary, read))
            return grpc.unary_unary_rpc_method_handler(answer, response_serializer=write)
        if handler.stream_unary is not None:
            answer = self._answer(_reading_all(handler.stream_unary, read))
            return grpc.stream_unary_rpc_method_handler(answer, response_serializer=write)
        if handler.unary_stream is not None:
            stream = self._stream(_reading(handler.unary_stream, read))
            return grpc.unary_stream_rpc_method_handler(stream, response_serializer=write)
        # Reflection's handler is of this kind and raises nothing of ours.
        return handler

    def _answer(self, handler: Handler) -> Handler:
        async def call(request: Any, context: Context) -> Any:
            try:
                return await handler(request, context)
            except MiveError as error:
                await refuse(context, self._redacted(error))
            except (grpc.aio.AbortError, grpc.RpcError):
                raise
            except Exception:
                await refuse(context, _own_fault())

        return call

    def _stream(self, handler: Handler) -> Handler:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                answers = handler(request, context)
                if not inspect.isasyncgen(answers):
                    # Health checks write their answers to the context.
                    await answers
                    return
                async for message in answers:
                    yield message
            except MiveError as error:
                await refuse(context, self._redacted(error))
            except (grpc.aio.AbortError, grpc.RpcError):
                raise
            except Exception:
                await refuse(context, _own_fault())

        return call

    def _redacted(self, error: MiveError) -> MiveError:
        if isinstance(error, OutputError):
            log.error("%s", error)
        error.what, error.expected, error.fix = map(self._redact, (error.what, error.expected, error.fix))
        return error


def _reading(handler: Any, read: Read) -> Handler:
    """The handler of one request, for that request as bytes."""
    return lambda data, context: handler(_message(data, read), context)


def _reading_all(handler: Any, read: Read) -> Handler:
    """The handler of a stream of requests, for requests as bytes."""

    async def messages(parts: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for data in parts:
            yield _message(data, read)

    return lambda parts, context: handler(messages(parts), context)


def _message(data: bytes, read: Read) -> Any:
    try:
        return data if read is None else read(data)
    except DecodeError:
        raise RequestError(
            "the bytes of the request are no message of this call",
            expected="a serialised message as the contract has it, with text in UTF-8",
            fix="Make the request with code generated from the contract, or through reflection",
        ) from None


def _own_fault() -> MiveError:
    """Logs the exception being handled under a number that the client is told."""
    number = secrets.token_hex(4)
    log.exception("fault %s", number)
    return MiveError(
        f"the server ran into an error of its own, number {number}",
        fix="Report it to whoever runs the server, whose log tells more under that number",
    )
