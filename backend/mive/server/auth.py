"""Who calls: the interceptor that lets nobody in without a token."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from google.rpc import code_pb2

from mive.server.logs import bind
from mive.server.tokens import Owner, Tokens, Unauthenticated
from mive.wire.errors import STATUS_DETAILS, error_to_status

_OPEN: Final = "/grpc.health.v1.Health/"

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

log = logging.getLogger(__name__)

LOCAL: Final = Owner("local", "local")
"""Everyone, where no tokens are asked for."""

_owner: ContextVar[Owner] = ContextVar("owner")


def current_owner() -> Owner:
    """The owner of the call that is being handled.

    Raises:
        LookupError: outside of a call, or in one that needs no token.
    """
    return _owner.get()


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Refuses every call without a valid token, health checks excepted, and knows the owner of all others.

    Args:
        tokens: None asks nobody; everyone is :data:`LOCAL`.
    """

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """See `grpc.aio.ServerInterceptor`; it runs in the task of the call, whose context the handler sees."""
        if not handler_call_details.method.startswith(_OPEN):
            try:
                owner = self._of(handler_call_details)
            except Unauthenticated:
                # Of this kind the handler runs before any message has arrived, whatever kind the method is of.
                return grpc.stream_stream_rpc_method_handler(_refuse)
            _owner.set(owner)
            bind(owner=owner.id)
        return await continuation(handler_call_details)

    def _of(self, details: grpc.HandlerCallDetails) -> Owner:
        if self._tokens is None:
            return LOCAL
        values = [value for key, value in details.invocation_metadata or () if key == "authorization"]
        if len(values) > 1:
            raise Unauthenticated
        return self._tokens.owner(str(values[0]) if values else None)


async def _refuse(requests: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    log.info("a call without a valid token was refused: %s", context.peer())
    status = error_to_status(Unauthenticated(), code=code_pb2.UNAUTHENTICATED)
    details = ((STATUS_DETAILS, status.SerializeToString()),)
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, status.message, details)
