"""What the commands that speak to a server share: its options, and how its events are shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mive.client import Client, Event, Tls
    from mive.console.progress import Display

ServerOption = Annotated[
    str | None,
    typer.Option(metavar="ADDR", help="HOST:PORT or unix:///PATH. [default: MIVE_SERVER, else 127.0.0.1:7433]"),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Holds the token. [default: MIVE_TOKEN, else MIVE_TOKEN_FILE]"),
]
CaOption = Annotated[
    Path | None, typer.Option("--ca", metavar="FILE", help="Who signs the server's certificate (PEM).")
]
CertOption = Annotated[Path | None, typer.Option("--cert", metavar="FILE", help="This client's certificate (PEM).")]
KeyOption = Annotated[Path | None, typer.Option("--key", metavar="FILE", help="The key of --cert (PEM).")]
BridgeOption = Annotated[
    bool,
    typer.Option("--bridge", help="Reach the server as the OpenFX effect does: with bridge.toml, which may start it."),
]
InsecureOption = Annotated[bool, typer.Option("--insecure", help="Allow plain text to another machine.")]


def through_bridge(wished: bool, server: str | None, say: Callable[[str], None]) -> AbstractContextManager[Tls | None]:
    """What ``--bridge`` stands for, where it is given: see :func:`mive_bridge.lent.lent_server`."""
    if not wished:
        return nullcontext()
    from mive_bridge.lent import lent_server

    return lent_server(server, say)


def connect(
    server: str | None,
    token_file: Path | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    insecure: bool,
    usual: Tls | None = None,
) -> Client:
    """A client of the server that the options name.

    Args:
        usual: files for TLS where no option names any.

    Raises:
        RequestError: they contradict each other, or a file cannot be read.
    """
    # gRPC writes about failed handshakes to standard error, which the errors tell already.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from mive.client import Client, Tls, read_token

    tls = Tls(ca, cert, key) if (ca, cert, key) != (None, None, None) else usual
    token = None if token_file is None else read_token(token_file)
    return Client(server, token=token, tls=tls, insecure=insecure)


class Teller:
    """Shows a job's events as ``mive edit`` shows its progress."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._said = ""

    def __call__(self, event: Event) -> None:
        from mive.client import Done, Progressed, Queued

        match event:
            case Progressed():
                self._display(event.progress, event.eta)
            case Queued():
                self._say(_waiting(event.position, event.attempts))
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
