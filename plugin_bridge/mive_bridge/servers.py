"""Connections to render servers, one for each address and token, and the server that the bridge itself starts."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mive.base.atomic import write_whole
from mive_bridge.settings import Settings

if TYPE_CHECKING:
    from mive.client import AsyncClient, Tls

log = logging.getLogger("mive.bridge.servers")

PROGRAM: Final = "mive-server"

_PATIENCE: Final = 10.0
"""Seconds for which a connection that broke is made again before the user is told."""

_GLANCE: Final = 1.0
"""Seconds in which a server on this machine accepts a connection."""

_LEAVING: Final = 45.0
"""Seconds that a server has for its running jobs and its end."""


class Servers:
    """All connections.

    Args:
        folder: of what is remembered of a server that was started, and of its log.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._clients: dict[tuple[str, str], AsyncClient] = {}
        self._former: list[AsyncClient] = []
        self._own = OwnServer(folder)
        self._tended: asyncio.Task[None] | None = None

    async def client(self, address: str, token: str) -> AsyncClient:
        """The connection to a server, which need not answer.

        Args:
            address: empty for the usual one.
            token: path of a file; empty for the usual token.

        Raises:
            MiveError: the address, the token or the TLS files make no sense.
        """
        if (address, token) not in self._clients:
            # Loading the client takes seconds on a busy machine.
            made = await asyncio.to_thread(self._make, address, token)
            client = self._clients.setdefault((address, token), made)
            if client is not made:
                await made.close()
        return self._clients[address, token]

    def forget(self, address: str, token: str) -> None:
        """The next connection reads the token again; edits that still use this one go on with it."""
        if (address, token) in self._clients:
            self._former.append(self._clients.pop((address, token)))

    async def unreachable(self, address: str) -> None:
        """No server answers there: starts one, where that is wished for and would listen there."""
        if starts_at(self._settings, address):
            await asyncio.to_thread(self._own.start)

    def tend(self) -> bool:
        """Starts the usual server where nobody listens, in the background; to be asked for as long as it is needed.

        Returns:
            whether that is wished for and possible.
        """
        if not starts_at(self._settings, "") or shutil.which(PROGRAM) is None:
            return False
        if self._tended is None or self._tended.done():
            self._tended = asyncio.create_task(asyncio.to_thread(self._tend))
        return True

    def _tend(self) -> None:
        if not listens():
            self._own.start()

    async def close(self) -> None:
        """Ends all connections, and the server that was started."""
        if self._tended is not None:
            await asyncio.wait((self._tended,))
        for client in (*self._clients.values(), *self._former):
            await client.close()
        await asyncio.to_thread(self._own.stop)

    def _make(self, address: str, token: str) -> AsyncClient:
        from mive.client import AsyncClient, read_token

        return AsyncClient(
            address or None,
            token=read_token(Path(token)) if token else None,
            tls=tls_for(self._settings, address),
            patience=_PATIENCE,
        )


def starts_at(settings: Settings, address: str) -> bool:
    """Whether the bridge starts a server where none answers at this address; empty is the usual one."""
    return settings.start_server and not address and not os.environ.get("MIVE_SERVER")


def listens() -> bool:
    """Somebody listens at the usual address."""
    from mive.client.address import DEFAULT_ADDRESS

    host, _, port = DEFAULT_ADDRESS.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _GLANCE).close()
    except OSError:
        return False
    return True


def tls_for(settings: Settings, address: str) -> Tls | None:
    """The user's files for a server at this address, or the usual one; None on this machine: nothing is encrypted.

    Raises:
        RequestError: it is no address.
    """
    from mive.client import Address, Tls

    files = (settings.ca, settings.cert, settings.key)
    return Tls(*files) if any(files) and not Address.parse(address or None).local else None


class OwnServer:
    """A ``mive-server`` on this machine that the bridge started, or an earlier bridge before it was killed. Blocks."""

    def __init__(self, folder: Path) -> None:
        self._record = folder / "server.json"
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it unless it runs; it may take minutes until it answers."""
        with self._alone():
            self._start()

    def stop(self) -> None:
        """Ends it; jobs that take longer than it waits go on when it is started again."""
        with self._alone():
            self._stop()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Of many edits that find no server one starts it, in whichever bridge of this user."""
        with self._record.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start(self) -> None:
        if self._running() is not None:
            return
        program = shutil.which(PROGRAM)
        if program is None:
            log.warning("%s is not on the PATH, so no server is started", PROGRAM)
            return
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [program, "--shared-memory"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
            )
        started = _start_time(self._process.pid)
        write_whole(self._record, (json.dumps({"pid": self._process.pid, "started": started}).encode(),), durable=False)
        log.info("started a server, process %d", self._process.pid)

    def _stop(self) -> None:
        pid = self._running()
        if pid is None:
            return
        log.info("stopping the server, process %d", pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVING)
        self._record.unlink(missing_ok=True)

    def _running(self) -> int | None:
        """Its process id; None where there is none, or another process has that id by now."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        try:
            record = json.loads(self._record.read_text())
            pid, started = int(record["pid"]), record["started"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return pid if started and _start_time(pid) == started else None


def _start_time(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty where there is no such process, or it has ended."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if facts[0] == "Z" else facts[19]
