"""A channel to a server, the calls that ask once, and patience with lost connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import grpc
from grpc import aio

from mive.client.address import Address, Tls
from mive.client.errors import answered, closed, connection_lost, lost, refusal
from mive.errors import MiveError, RequestError
from mive.v1.mive_pb2_grpc import MiveStub

if TYPE_CHECKING:
    from mive.v1.mive_pb2_grpc import MiveAsyncStub

ANSWER_SECONDS: Final = 30.0
"""How long a server may take to answer what takes no time."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_OPTIONS: Final = (
    # Otherwise a client notices a restarted server up to two minutes late.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A machine that vanishes without closing its connections is noticed by these.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # The largest message is GetJob's, which repeats a request with its run-length mattes.
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
)

_Q = TypeVar("_Q")
_R = TypeVar("_R")


class Connection:
    """Channels, made when they are first used, in the event loop that uses them.

    Args:
        token: sent with every call; None sends none.
        tls: None means the usual authorities, except on this machine and where ``insecure``: no TLS there.
        insecure: allows plain text to another machine.
        patience: seconds for which a connection that broke is made again.

    Raises:
        RequestError: the TLS files cannot be used.
    """

    def __init__(
        self, address: Address, *, token: str | None, tls: Tls | None, insecure: bool, patience: float
    ) -> None:
        self.address = address
        self.seconds = patience
        self.met = False
        self.metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        if insecure and tls is not None:
            raise RequestError("TLS is both asked for and forbidden", expected="one of them", fix="Drop --insecure")
        if tls is None and not (insecure or address.local):
            tls = Tls()
        self._credentials = None
        if tls is not None:
            from mive.wire.tls import channel_credentials

            self._credentials = channel_credentials(tls.ca, tls.cert, tls.key)
        self._closed = False
        # A proxy of the environment would be asked for this very machine too.
        self._options = (*_OPTIONS, ("grpc.enable_http_proxy", int(not address.local)))
        self._channel: aio.Channel | None = None
        self._threads_channel: grpc.Channel | None = None
        self._stub: MiveAsyncStub | None = None

    @property
    def stub(self) -> MiveAsyncStub:
        """The service's calls. Must be asked for inside the event loop.

        Raises:
            ServerError: the connection was closed.
        """
        if self._closed:
            raise closed()
        if self._stub is None:
            if self._credentials is None:
                self._channel = aio.insecure_channel(self.address.target, options=self._options)
            else:
                self._channel = aio.secure_channel(self.address.target, self._credentials, options=self._options)
            self._stub = MiveStub(self._channel)
        return self._stub

    @property
    def threads_stub(self) -> MiveStub:
        """The service's calls outside asyncio, on a channel of their own.

        Raises:
            ServerError: the connection was closed.
        """
        if self._closed:
            raise closed()
        if self._threads_channel is None:
            if self._credentials is None:
                self._threads_channel = grpc.insecure_channel(self.address.target, self._options)
            else:
                self._threads_channel = grpc.secure_channel(self.address.target, self._credentials, self._options)
        return MiveStub(self._threads_channel)

    async def close(self) -> None:
        """Ends the connection, for good, and every call on it."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()
        if self._threads_channel is not None:
            self._threads_channel.close()

    async def call(
        self,
        method: aio.UnaryUnaryMultiCallable[_Q, _R],
        message: _Q,
        *,
        timeout: float | None = ANSWER_SECONDS,
        through_restarts: bool = True,
    ) -> _R:
        """One answer to one message; asks again where the connection breaks, so asking twice must do no harm.

        Args:
            timeout: seconds for one attempt.
            through_restarts: waits for a server that says it is about to restart, too.

        Raises:
            MiveError: the server refuses, or cannot be reached.
        """
        patience = self.patience()
        while True:
            try:
                answer = await method(message, metadata=self.metadata, timeout=timeout)
            except aio.AioRpcError as error:
                if answered(error) and not through_restarts:
                    raise self.refused(error) from error
                await patience.bear(error)
            else:
                self.met = True
                return answer

    def patience(self) -> Patience:
        """For one call, or one stream."""
        return Patience(self)

    def refused(self, error: aio.AioRpcError) -> MiveError:
        """What a failed call tells its user."""
        self.met = self.met or answered(error)
        return refusal(error, self.address)


class Patience:
    """Pauses between attempts that grow, and end where nothing has arrived for too long.

    A server that never answered is not waited for: its address is likely wrong.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pause = _FIRST_PAUSE
        self._until: float | None = None

    def renew(self) -> None:
        """Something arrived."""
        self._connection.met = True
        self._pause = _FIRST_PAUSE
        self._until = None

    async def bear(self, error: aio.AioRpcError) -> None:
        """Waits until the next attempt.

        Raises:
            MiveError: another attempt would not help.
        """
        refused = self._connection.refused(error)
        if not lost(error) or not self._connection.met:
            raise refused from error
        await self.wait(error)

    async def wait(self, cause: Exception | None = None) -> None:
        """Waits until the next attempt.

        Raises:
            Unreachable: there were enough.
        """
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + self._connection.seconds
        if now >= self._until:
            raise connection_lost(self._connection.address, self._connection.seconds) from cause
        await asyncio.sleep(min(self._pause, self._until - now))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
