"""Messages and descriptors over a Unix socket, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mive_bridge.messages import HEAD, MOST_BYTES, Malformed, Message, decode, encode

PATIENCE: Final = 10.0
"""Seconds in which a message that has begun must be complete, in either direction."""

_MOST_DESCRIPTORS: Final = 4


@dataclass
class Received:
    """A message and the descriptors that came with it, which are closed after the block it is used in."""

    message: Message
    descriptors: list[int] = field(default_factory=list)

    def __enter__(self) -> Received:
        return self

    def __exit__(self, *error: object) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


class Channel:
    """One connection, by which one task receives and sends.

    Args:
        connection: becomes the channel's.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    async def receive(self) -> Received | None:
        """The next message, however long it takes to begin; None at the end of the connection.

        Raises:
            Malformed: it is no message, or did not end in time.
            OSError: the connection broke.
        """
        descriptors: list[int] = []
        with _closed_on_error(descriptors):
            while not (head := self._take(HEAD.size, descriptors)):
                if head is not None:
                    return None
                await self._readable()
            try:
                async with asyncio.timeout(PATIENCE):
                    head += await self._exactly(HEAD.size - len(head), descriptors)
                    (size,) = HEAD.unpack(head)
                    if not 1 <= size <= MOST_BYTES:
                        raise Malformed(f"a message of {size} bytes")
                    return Received(decode(await self._exactly(size, descriptors)), descriptors)
            except TimeoutError:
                raise Malformed("a message did not end in time") from None

    async def send(self, message: Message) -> None:
        """Sends a message.

        Raises:
            OSError: the connection broke, or the other side does not read.
        """
        async with asyncio.timeout(PATIENCE):
            await self._loop.sock_sendall(self._socket, encode(message))

    async def _exactly(self, count: int, descriptors: list[int]) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = self._take(count - len(data), descriptors)
            if part is None:
                await self._readable()
            elif part:
                data += part
            else:
                raise Malformed("the connection ends within a message")
        return bytes(data)

    def _take(self, count: int, descriptors: list[int]) -> bytes | None:
        """What has arrived, up to so many bytes; None where nothing has, nothing at the end."""
        try:
            data, came, _, _ = socket.recv_fds(self._socket, count, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        descriptors += came
        if len(descriptors) > _MOST_DESCRIPTORS:
            raise Malformed("too many descriptors")
        return data

    async def _readable(self) -> None:
        arrived = asyncio.Event()
        self._loop.add_reader(self._socket, arrived.set)
        try:
            await arrived.wait()
        finally:
            self._loop.remove_reader(self._socket)


@contextlib.contextmanager
def _closed_on_error(descriptors: list[int]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
