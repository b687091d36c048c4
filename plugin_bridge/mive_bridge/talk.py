"""One connection of a plugin: requests in, answers out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from mive import __version__
from mive_bridge.channel import Channel, Received
from mive_bridge.edits import Answer, Edits
from mive_bridge.messages import Malformed, Message, Refused, plain
from mive_bridge.region import MOST_BYTES, Region
from mive_bridge.servers import Servers

log = logging.getLogger("mive.bridge.talk")

PROTOCOL: Final = 1

_MOST_TEXT: Final = 500


class Talk:
    """A conversation.

    Args:
        asked: called for every request.
    """

    def __init__(self, channel: Channel, edits: Edits, servers: Servers, asked: Callable[[], None]) -> None:
        self._channel = channel
        self._edits = edits
        self._servers = servers
        self._asked = asked
        self._count = 0
        self._greeted = False
        self._region: Region | None = None

    async def hold(self) -> None:
        """Answers until the connection ends, however it does."""
        try:
            while (received := await self._channel.receive()) is not None:
                self._asked()
                with received:
                    answer = await self._answer(received)
                await self._channel.send(answer)
                self._asked()
        except Malformed as error:
            log.warning("a connection is closed: %s", error)
        except OSError:
            pass
        finally:
            self._region = None
            self._channel.close()

    async def _answer(self, received: Received) -> Message:
        message = received.message
        self._count += 1
        if message.fields.get("id") != str(self._count):
            raise Malformed("a request has another id than the next")
        try:
            kind, fields = await self._carried_out(message, received.descriptors)
        except Refused as error:
            kind, fields = "error", {"text": plain(str(error), _MOST_TEXT)}
        except Malformed:
            raise
        except OSError as error:
            log.warning("files cannot be used: %s", error.strerror)
            kind, fields = "error", {"text": f"The bridge cannot read or write its files: {error.strerror}."}
        except Exception:
            log.exception("unexpected error")
            kind, fields = "error", {"text": "The bridge failed. Its log says why."}
        return Message(kind, {"id": str(self._count), **fields})

    async def _carried_out(self, message: Message, descriptors: list[int]) -> Answer:
        if message.type == "hello":
            return self._hello(message)
        if not self._greeted:
            raise Refused("A greeting comes first.")
        match message.type:
            case "region":
                return self._take_region(message, descriptors)
            case "order":
                return await self._edits.order(message)
            case "put":
                return await self._edits.put(message, self._region)
            case "frame":
                return await self._edits.frame(message, self._region)
            case "status":
                return await self._edits.status(message)
            case "cancel":
                return await self._edits.cancel(message)
            case "server":
                return "ok", {"starts": str(int(self._servers.tend()))}
        raise Refused(f'The bridge does not know the request "{message.type}". Update the bridge.')

    def _hello(self, message: Message) -> Answer:
        if self._greeted:
            raise Refused("There was a greeting already.")
        protocol = message.whole("protocol")
        if protocol != PROTOCOL:
            older = "plugin" if protocol < PROTOCOL else "bridge"
            raise Refused(f"The plugin speaks protocol {protocol}, the bridge {PROTOCOL}. Update the {older}.")
        log.info("a plugin %s of %s", plain(message.text("plugin"), 40), plain(message.text("host"), 80))
        self._greeted = True
        return "welcome", {"protocol": str(PROTOCOL), "bridge": __version__}

    def _take_region(self, message: Message, descriptors: list[int]) -> Answer:
        if len(descriptors) != 1:
            raise Refused("One descriptor comes with a region.")
        self._region = None
        self._region = Region(descriptors[0], message.whole("bytes", MOST_BYTES))
        return "ok", {}
