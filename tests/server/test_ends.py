"""Servers that end and begin: signals, damaged stores, and connections on which nobody speaks."""

from __future__ import annotations

import contextlib
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tests.server.served import Serve, until

from mive.server import http
from mive.server.address import Address
from mive.server.errors import StoreError
from mive.server.http import HALF_OPEN_SECONDS, serve_metrics
from mive.server.store import JobStore
from mive.v1 import job_pb2, mive_pb2


def test_a_terminal_that_goes_drains_the_server(serve: Serve) -> None:
    """SIGHUP: the running job is left at a step, and goes on at the next start."""
    server = serve(drain_seconds=0.3).ready()
    job = server.submit().job_id
    until(lambda: server.get(job).state == job_pb2.JOB_STATE_RUNNING)
    server.process.send_signal(signal.SIGHUP)
    assert server.process.wait(60) == 0
    again = serve().ready()
    assert again.finish(job).WhichOneof("event") == "done"
    assert again.get(job).attempts == 2


def test_a_server_says_when_it_is_ready_and_when_a_job_is_cancelled(serve: Serve) -> None:
    server = serve().ready()
    job = server.submit(caption="a slow cube").job_id
    waiting = server.submit(caption="a slow ball").job_id
    until(lambda: server.get(job).state == job_pb2.JOB_STATE_RUNNING)
    for each in (job, waiting):
        server.stub.CancelJob(mive_pb2.CancelJobRequest(job_id=each))
    server.finish(job)
    assert server.stop() == 0
    lines = server.log.read_text().splitlines()
    assert any("ready: jobs are taken" in line for line in lines)
    assert any("not ready" in line for line in lines), "while models load, and while it drains"
    for each in (job, waiting):
        assert any("cancel" in line and each in line for line in lines), each
    assert any("worker=" in line and "cancelled" in line and job in line for line in lines), "it has stopped"


def test_a_damaged_store_is_noticed_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    store = JobStore(path)
    with store.database.transaction() as write:
        rows = [(str(number),) for number in range(2000)]
        write.executemany("INSERT INTO workers (name, device, state, updated) VALUES (?, 'cpu', 'x', 0)", rows)
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = bytes(range(256)) * 16
    path.write_bytes(data)
    with pytest.raises(StoreError, match="cannot be opened"):
        JobStore(path, check=True)


@pytest.mark.parametrize("said", [b"", b"PRI * HT", b"GET / HTTP/1.1\r\n"])
def test_connections_on_which_nobody_speaks_end(
    serve: Serve, said: bytes, record_property: Callable[[str, object], None]
) -> None:
    """Within 10 s, and what begins like a client and stops is no client either."""
    host, _, port = serve().address.rpartition(":")
    took = _until_closed(host, int(port), said)
    record_property(f"seconds until a connection that said {said!r} ended", round(took, 1))
    assert took < 10


@pytest.mark.parametrize("said", [b"", b"GET /metrics HTTP/1.1\r\n"])
def test_metrics_wait_for_nobody(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    assert HALF_OPEN_SECONDS < 10
    monkeypatch.setattr(http, "HALF_OPEN_SECONDS", 0.5)
    server = serve_metrics(Address("127.0.0.1", 0), CollectorRegistry())
    assert _until_closed("127.0.0.1", server.port, said) < 5
    server.stop()


def test_metrics_wait_for_nobody_who_speaks_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then keeps no connection open."""
    monkeypatch.setattr(http, "HALF_OPEN_SECONDS", 0.5)
    server = serve_metrics(Address("127.0.0.1", 0), CollectorRegistry())
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port)) as connection, contextlib.suppress(OSError):
        while time.monotonic() - started < 5:
            connection.send(b"G")
            time.sleep(0.1)
    assert time.monotonic() - started < 5
    server.stop()


def _until_closed(host: str, port: int, said: bytes) -> float:
    started = time.monotonic()
    with socket.create_connection((host, port)) as connection:
        connection.settimeout(30)
        connection.sendall(said)
        with contextlib.suppress(ConnectionError):
            while connection.recv(4096):
                pass
    return time.monotonic() - started
