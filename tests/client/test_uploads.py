"""Uploads: what is sent, from where, and what is not sent again."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
from tests.client.fake_server import FakeServer

from mive.client import Client
from mive.errors import MediaError, RequestError

MEBI = 1 << 20


def some_bytes(size: int) -> bytes:
    return hashlib.shake_256(b"seed").digest(size)


def test_a_file_arrives_in_pieces_under_its_hash(client: Client, server: FakeServer, tmp_path: Path) -> None:
    data = some_bytes(2 * MEBI + 5)
    (tmp_path / "clip.mov").write_bytes(data)
    told: list[int] = []
    upload_id = client.upload(tmp_path / "clip.mov", told.append)
    assert upload_id == hashlib.sha256(data).hexdigest()
    assert bytes(server.uploads[upload_id]) == data
    assert told == [MEBI, 2 * MEBI, len(data)]


def test_bytes_and_pieces_of_bytes_are_the_same_upload(client: Client, server: FakeServer) -> None:
    data = some_bytes(100_000)
    assert client.upload(data) == client.upload(data[at : at + 999] for at in range(0, len(data), 999))
    assert server.calls["Upload"] == 1


def test_a_broken_upload_goes_on_where_the_server_says(client: Client, server: FakeServer) -> None:
    client.server_info()
    data = some_bytes(5 * MEBI)
    server.be.break_upload_at = 2 * MEBI
    upload_id = client.upload(data)
    assert server.upload_offsets == [0, 2 * MEBI]
    assert bytes(server.uploads[upload_id]) == data


def test_an_upload_of_an_earlier_client_is_finished(client: Client, server: FakeServer) -> None:
    data = some_bytes(3 * MEBI)
    upload_id = hashlib.sha256(data).hexdigest()
    server.uploads[upload_id] = bytearray(data[: MEBI + 7])
    client.upload(data)
    assert server.upload_offsets == [MEBI + 7]


def test_two_clients_may_send_the_same_bytes_at_once(client: Client, server: FakeServer) -> None:
    data = some_bytes(8 * MEBI)
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(client.upload(data))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 1
    assert len(ids) == 2
    assert bytes(server.uploads[ids[0]]) == data


def test_a_refused_upload_is_told_and_not_tried_again(
    client: Client, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.rpc import code_pb2

    from mive.errors import OutputError

    async def full(requests: object, context: object) -> None:
        server.calls["Upload"] += 1
        await server._refuse(context, OutputError("the disk is full", fix="Ask"), code_pb2.RESOURCE_EXHAUSTED)

    server.stop()
    monkeypatch.setattr(server, "Upload", full)
    server.start()
    with pytest.raises(OutputError, match=r"the disk is full\. Ask\."):
        client.upload(some_bytes(20 * MEBI))
    assert server.calls["Upload"] == 1


def test_what_cannot_be_uploaded(client: Client, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"none\.mov cannot be read"):
        client.upload(tmp_path / "none.mov")
    with pytest.raises(RequestError, match="no bytes"):
        client.upload(b"")
