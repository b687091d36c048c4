"""The program ``mive-server``."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mive import __version__
from mive.console.ending import say_failure
from mive.errors import MiveError, RequestError
from mive.server.app import serve
from mive.server.config import ServerConfig
from mive.server.config_loading import load_config
from mive.server.logs import set_up_logging
from mive.server.tokens import new_token

app = typer.Typer(
    name="mive-server",
    help="Render edits for clients: serve the contract mive.v1 until SIGTERM.",
    epilog="Every option can also stand in the file of --config, or in the environment as MIVE_SERVER__SECTION__NAME. "
    "Flags come before the environment, and that before the file. docs/reference/server.md lists them all.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="A TOML file with any of these options and more.")] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT or unix:///PATH. [127.0.0.1:7433]")] = None,
    engine: Annotated[str | None, typer.Option(help="What runs the model: torch, trt or auto. [torch]")] = None,
    bundle: Annotated[str | None, typer.Option(help="Model bundle: name, folder or hub id. [tiny]")] = None,
    device: Annotated[list[str] | None, typer.Option(help="One worker on each: cpu, cuda:0 … [auto]")] = None,
    data: Annotated[str | None, typer.Option(help="Folder of jobs, uploads, checkpoints and results.")] = None,
    server_path: Annotated[list[str] | None, typer.Option(help="Folder that clients may name clips in.")] = None,
    shared_memory: Annotated[bool | None, typer.Option(help="Let local clients use shared memory.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Port, or HOST:PORT, of Prometheus metrics.")] = None,
    tokens_file: Annotated[str | None, typer.Option(help='Whom to serve; see "mive-server token --help".')] = None,
    tls_certificate: Annotated[str | None, typer.Option(help="The server's certificate (PEM).")] = None,
    tls_key: Annotated[str | None, typer.Option(help="Its private key (PEM).")] = None,
    tls_client_ca: Annotated[str | None, typer.Option(help="Who issues client certificates (PEM): mTLS.")] = None,
    drain_seconds: Annotated[float | None, typer.Option(help="Time for running jobs after SIGTERM. [30]")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [info]")] = None,
    log_format: Annotated[str | None, typer.Option(help="text or json. [text]")] = None,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        print(f"mive {__version__}")
    if version or context.invoked_subcommand is not None:
        return
    flags = {
        "listen": listen,
        "engine": engine,
        "bundle": bundle,
        "devices": device or None,
        "data": data,
        "server_paths": server_path or None,
        "shared_memory": shared_memory,
        "metrics_listen": metrics,
        "auth.tokens_file": tokens_file,
        "tls.certificate": tls_certificate,
        "tls.key": tls_key,
        "tls.client_ca": tls_client_ca,
        "drain_seconds": drain_seconds,
        "log.level": log_level,
        "log.format": log_format,
    }
    _serve(load_config(config, flags))


@app.command(short_help="Make a token for a client.")
def token(
    name: Annotated[str, typer.Argument(help="Whom it is for: letters, digits, ., _ and -.")],
    tokens_file: Annotated[Path, typer.Option(help="The file that the token's hash is added to; made if need be.")],
) -> None:
    """Make a token, show it once and keep its hash."""
    print(new_token(tokens_file, name))


def _serve(config: ServerConfig) -> None:
    set_up_logging(config.log)
    # Sockets, databases and frames are for this user only.
    os.umask(0o077)
    asyncio.run(serve(config, lambda address: print(f"mive-server: {address}", flush=True)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code: 0 after draining.

    Args:
        arguments: without the program's name; by default the process's own.
    """
    failure: MiveError
    try:
        return int(app(list(sys.argv[1:] if arguments is None else arguments), standalone_mode=False) or 0)
    except MiveError as error:
        failure = error
    except typer.TyperException as error:
        failure = RequestError(error.format_message(), fix='"mive-server --help" lists the options')
    say_failure(failure, as_json=False)
    return failure.exit_code
