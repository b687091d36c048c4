"""A fake server, and a small edit to send to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client.fake_server import FakeServer

from mive.client import Client
from mive.evaluate.toyworld import random_scene
from mive.evaluate.toyworld.clip import write_clip
from mive.request import EditRequest, Instance


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MIVE_SERVER", "MIVE_TOKEN", "MIVE_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeServer]:
    (tmp_path / "server").mkdir()
    with FakeServer(tmp_path / "server") as server:
        yield server


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    with Client(server.address, patience=5) as client:
        yield client


@pytest.fixture
def edit(tmp_path: Path) -> EditRequest:
    """Six lossless frames of 64x64 with the instances 1 and 2."""
    scene = random_scene(20_000_001, (64, 64), count=(2, 2), scale=(0.2, 0.25), spacing=1.0)
    toy = write_clip(scene, tmp_path / "toy", 6)
    return EditRequest(
        clip=str(toy.videos[0]),
        mattes=str(toy.mattes),
        instances=(Instance(id=1, caption="a red ball"), Instance(id=2, caption="a blue cup")),
    )
