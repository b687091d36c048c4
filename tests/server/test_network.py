"""Who can reach a server, and what a client learns that knows nothing of it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tests.server.served import ENVIRONMENT, PROGRAM, Served, modelless, real

from mive.server.tokens import new_token
from mive.v1 import mive_pb2, mive_pb2_grpc

STRANGER = Path(__file__).with_name("stranger.py")


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, grpc.Channel, str]]:
    """The real program on all addresses, an encrypted channel to it, and a token."""
    folder = tmp_path_factory.mktemp("remote")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "key.pem").chmod(0o600)
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    token = new_token(folder / "tokens", "anna")
    tls = ("--tls-certificate", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem"))
    served = real(folder / "data", "--listen", "0.0.0.0:0", *tls, "--tokens-file", str(folder / "tokens"))
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    port = served.address.rpartition(":")[2]
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        yield served, channel, token
    served.close()


@pytest.mark.parametrize("given", [(), ("--tokens-file", "{tokens}")], ids=["nothing", "tokens without TLS"])
def test_other_machines_are_not_served_without_tls_and_a_token(tmp_path: Path, given: tuple[str, ...]) -> None:
    new_token(tmp_path / "tokens", "anna")
    flags = [flag.format(tokens=tmp_path / "tokens") for flag in given]
    command = [*PROGRAM, "--data", str(tmp_path / "data"), "--listen", "0.0.0.0:0", *flags]
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "other machines could reach 0.0.0.0:0" in ended.stderr
    assert "tls.certificate" in ended.stderr
    assert not ended.stdout


def test_with_both_they_are(remote: tuple[Served, grpc.Channel, str]) -> None:
    _, channel, token = remote
    metadata = (("authorization", f"Bearer {token}"),)
    answer = mive_pb2_grpc.MiveStub(channel).GetServerInfo(
        mive_pb2.GetServerInfoRequest(), metadata=metadata, timeout=30
    )
    assert answer.info.engine == "torch"
    assert not answer.info.server_paths, "no paths either, unless they are allowed"
    assert not answer.info.shared_memory
    alive = health_pb2.HealthCheckRequest(service="liveness")
    assert health_pb2_grpc.HealthStub(channel).Check(alive, timeout=30).status == health_pb2.HealthCheckResponse.SERVING


def test_there_is_no_reflection_for_them(remote: tuple[Served, grpc.Channel, str]) -> None:
    _, channel, token = remote
    reflect = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    with pytest.raises(grpc.RpcError) as caught:
        list(reflect(iter([b""]), metadata=(("authorization", f"Bearer {token}"),), timeout=30))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


def test_nothing_is_said_without_encryption(remote: tuple[Served, grpc.Channel, str]) -> None:
    served, _, token = remote
    asked, metadata = mive_pb2.GetServerInfoRequest(), (("authorization", f"Bearer {token}"),)
    with grpc.insecure_channel(served.address) as channel:
        stub = mive_pb2_grpc.MiveStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetServerInfo(asked, metadata=metadata, timeout=30)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]


def test_a_client_that_knows_only_reflection_renders(tmp_path: Path) -> None:
    """As grpcurl does, in any language; here on loopback, where reflection is on."""
    server = modelless(tmp_path / "data").ready()
    request = {
        "clip": {"path": "/nowhere/clip.mkv"},
        "mattes": {"path": "/nowhere/mattes"},
        "instances": [{"id": 1, "caption": "a quick green cube"}],
    }
    command = [sys.executable, str(STRANGER), server.address, json.dumps({"request": request, "previewEvery": 10})]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    came = json.loads(ended.stdout)
    assert came["generated code"] == []
    assert {"queued", "preview", "windowFinished", "done"} <= set(came["told"])
    assert came["frames"] == [10, 11, 12]
    pixels = [np.frombuffer(base64.b64decode(data), np.uint8) for data in came["data"]]
    assert [np.unique(each).tolist() for each in pixels] == [[10], [11], [12]]
    known = ProtoReflectionDescriptorDatabase(server.channel).get_services()
    assert sorted(known) == ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "mive.v1.Mive"]
    server.close()
