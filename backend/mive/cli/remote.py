"""What the commands that speak to a server share: its options, and how its events are shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mive.console.progress import Told

if TYPE_CHECKING:
    from mive.client import Client, Event, Tls
    from mive.console.progress import Display

BridgeOption = Annotated[
    bool,
    typer.Option("--bridge", help="Reach the server as the OpenFX effect does: with bridge.toml, which may start it."),
]


@dataclass(frozen=True)
class ServerOptions:
    """The options that say which server is meant and how it is spoken to, for `grouped` commands."""

    server: Annotated[
        str | None,
        typer.Option(metavar="ADDR", help="HOST:PORT or unix:///PATH. [default: MIVE_SERVER, else 127.0.0.1:7433]"),
    ] = None
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Holds the token. [default: MIVE_TOKEN, else MIVE_TOKEN_FILE]"),
    ] = None
    ca: Annotated[Path | None, typer.Option(metavar="FILE", help="Who signs the server's certificate (PEM).")] = None
    cert: Annotated[Path | None, typer.Option(metavar="FILE", help="This client's certificate (PEM).")] = None
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="The key of --cert (PEM).")] = None
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow plain text to another machine.")] = False

    def connect(self, usual: Tls | None = None) -> Client:
        """A client of the server.

        Args:
            usual: files for TLS where no option names any.

        Raises:
            RequestError: the options contradict each other, or a file cannot be read.
        """
        # gRPC writes about failed handshakes to standard error, which the errors tell already.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from mive.client import Client, Tls, read_token

        named = (self.ca, self.cert, self.key)
        tls = usual if named == (None, None, None) else Tls(*named)
        token = None if self.token_file is None else read_token(self.token_file)
        return Client(self.server, token=token, tls=tls, insecure=self.insecure)


def through_bridge(wished: bool, server: str | None, say: Callable[[str], None]) -> AbstractContextManager[Tls | None]:
    """What ``--bridge`` stands for, where it is given: see :func:`mive_bridge.lent.lent_server`."""
    if not wished:
        return nullcontext()
    from mive_bridge.lent import lent_server

    return lent_server(server, say)


class Teller:
    """Shows a job's events as ``mive edit`` shows its progress.

    Attributes:
        told: the warnings that were shown.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self.told = Told(display)
        self._said = ""

    def __call__(self, event: Event) -> None:
        from mive.client import Done, Progressed, Queued, Warned

        match event:
            case Progressed():
                self._display(event.progress, event.eta)
            case Queued():
                self._say(_waiting(event.position, event.attempts))
            case Warned(warnings=warnings):
                self.told(warnings)
            case Done(cached=True):
                self._say("the same edit had been made before")

    def _say(self, text: str) -> None:
        if text != self._said:
            self._display.say(text)
        self._said = text


def _waiting(position: int, attempts: int) -> str:
    jobs = f"{position} job{'s' if position != 1 else ''}"
    words = f"waiting for {jobs} before this one" if position else "next in the queue"
    return f"{words}, to go on from its last checkpoint (attempt {attempts + 1})" if attempts else words
