"""The client that waits: several threads, interrupts, and its end. And the client for asyncio."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.client.fake_server import FakeServer

import mive as package
from mive.client import AsyncClient, Client, Done, ServerError
from mive.request import EditRequest


def test_several_threads_may_call_at_once(client: Client, edit: EditRequest) -> None:
    job = client.submit(edit).job_id
    frames = dict(client.fetch(job))

    def work(number: int) -> bool:
        fetched = dict(client.fetch(job))
        events = list(client.watch(job))
        return isinstance(events[-1], Done) and all(np.array_equal(fetched[i], frames[i]) for i in frames)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))


def test_closing_wakes_whoever_waits(server: FakeServer, edit: EditRequest) -> None:
    client = Client(server.address)
    job = client.submit(edit).job_id
    server.be.hold.clear()
    said: list[str] = []

    def wait() -> None:
        try:
            list(client.watch(job))
        except ServerError as error:
            said.append(error.what)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    client.close()
    client.close()
    thread.join(5)
    assert said == ["the client was closed"]
    with pytest.raises(ServerError, match="closed"):
        client.server_info()
    assert not [thread for thread in threading.enumerate() if thread.name == "mive-client"]


def test_ctrl_c_ends_a_call_and_the_client_goes_on(client: Client, server: FakeServer, edit: EditRequest) -> None:
    job = client.submit(edit).job_id
    server.be.hold.clear()
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        list(client.watch(job))
    server.be.hold.set()
    assert isinstance(list(client.watch(job))[-1], Done)


def test_a_submission_that_is_broken_off_leaves_no_job(
    client: Client, server: FakeServer, edit: EditRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stores the job while the client already leaves."""
    submit, began = FakeServer.SubmitJob, threading.Event()

    async def slow(self: FakeServer, request: object, context: object) -> object:
        began.set()
        await asyncio.sleep(0.5)
        return await submit(self, request, context)

    server.stop()
    monkeypatch.setattr(FakeServer, "SubmitJob", slow)
    server.start()

    def interrupt() -> None:
        began.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        client.submit(edit)
    thread.join()
    assert [client.get(job).state for job in server.jobs] == ["cancelled"]


def test_the_same_methods_for_asyncio(server: FakeServer, edit: EditRequest) -> None:
    async def render() -> list[int]:
        async with AsyncClient(server.address) as client:
            job = await client.submit(edit)
            async for event in client.watch(job.job_id):
                if isinstance(event, Done):
                    return [index async for index, _ in client.fetch(job.job_id, event.frames)]
        raise AssertionError

    assert asyncio.run(render()) == list(range(6))


def test_the_client_loads_no_model_libraries() -> None:
    code = (
        "import json, sys; import mive.client, mive.cli.render, mive.cli.flags;"
        "print(json.dumps([m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, env=environment)
    assert json.loads(done.stdout) == []
