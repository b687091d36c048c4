"""Plain HTTP for Prometheus, to clients that may be slow, silent or gone."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from typing import Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from mive.errors import RequestError
from mive.server.address import Address

HALF_OPEN_SECONDS: Final = 8.0
"""How long a connection may take to say what it is for; for metrics, to be answered too."""


class _Handler(WSGIRequestHandler):
    """Answers one request, for as long as a connection may last and no longer, however slowly its bytes come."""

    def setup(self) -> None:
        super().setup()
        self._clock = threading.Timer(HALF_OPEN_SECONDS, self._hang_up)
        self._clock.daemon = True
        self._clock.start()

    def finish(self) -> None:
        self._clock.cancel()
        try:
            super().finish()
        # The other side went, or was hung up on.
        except OSError:
            return

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            return

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing: what is wrong with strangers' requests is no event of this server."""

    def _hang_up(self) -> None:
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


class _Server(ThreadingWSGIServer):
    address_family = socket.AF_INET
    # Those that are left when the server ends are not waited for.
    block_on_close = False


class _Server6(_Server):
    address_family = socket.AF_INET6


@dataclass(frozen=True)
class MetricsServer:
    """Answers Prometheus, in threads of its own."""

    server: ThreadingWSGIServer
    thread: threading.Thread

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.server_port)

    def stop(self) -> None:
        """Ends it; the port is free afterwards."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def serve_metrics(address: Address, registry: CollectorRegistry) -> MetricsServer:
    """Serves metrics until stopped, to anyone who can reach the address.

    Raises:
        RequestError: the address is taken, or not this machine's.
    """
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        kind = _Server6 if family == socket.AF_INET6 else _Server
        server = make_server(address.host, address.port or 0, make_wsgi_app(registry), kind, handler_class=_Handler)
    except OSError as error:
        raise RequestError(
            f"metrics cannot be served on {address.target}: {error.strerror or error}",
            expected="a free port of an address of this machine",
            fix="Choose another port",
            field="metrics_listen",
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    return MetricsServer(server, thread)
