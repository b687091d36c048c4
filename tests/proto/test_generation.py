"""The contract's Python code is built, never stale, and its generators are pinned once."""

from __future__ import annotations

import re
import runpy
import shutil
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A repository of nothing but the contract."""
    shutil.copytree(REPOSITORY / "proto", tmp_path / "proto")
    (tmp_path / "backend" / "mive").mkdir(parents=True)
    return tmp_path


def test_what_is_imported_is_what_the_protos_say(copy: Path) -> None:
    files = runpy.run_path(str(copy / "proto" / "generate.py"))["generate"](copy)
    package = REPOSITORY / "backend" / "mive" / "v1"
    assert {file.name for file in files} == {file.name for file in package.iterdir() if file.is_file()}
    assert all(file.read_bytes() == (package / file.name).read_bytes() for file in files), "run: make proto"
    assert {"mive_pb2.py", "mive_pb2.pyi", "mive_pb2_grpc.py", "mive_pb2_grpc.pyi"} <= {file.name for file in files}


def test_what_did_not_change_is_left_alone_and_what_is_gone_is_removed(copy: Path) -> None:
    generate = runpy.run_path(str(copy / "proto" / "generate.py"))["generate"]
    first = {file: file.stat().st_mtime_ns for file in generate(copy)}
    stale = copy / "backend" / "mive" / "v1" / "gone_pb2.py"
    stale.touch()
    again = {file: file.stat().st_mtime_ns for file in generate(copy)}
    assert again == first
    assert not stale.exists()
    assert [path.name for path in (copy / "backend").iterdir()] == ["mive"]


def test_a_wrong_proto_is_refused(copy: Path) -> None:
    (copy / "proto" / "mive" / "v1" / "wrong.proto").write_text('syntax = "proto3"; message {')
    with pytest.raises(RuntimeError, match="protoc refused"):
        runpy.run_path(str(copy / "proto" / "generate.py"))["generate"](copy)


def test_isolated_builds_use_the_pinned_generators() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    pins = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").split()
    built_with = [name for name in project["build-system"]["requires"] if "==" in name]
    assert len(built_with) == 2
    assert set(built_with) <= set(pins)


def test_the_runtime_is_not_older_than_the_generated_code() -> None:
    package = REPOSITORY / "backend" / "mive" / "v1"
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    service = (package / "mive_pb2_grpc.py").read_text(encoding="utf-8")
    messages = (package / "mive_pb2.py").read_text(encoding="utf-8")
    grpcio = re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", service)
    protobuf = re.search(r"Protobuf Python Version: ([\d.]+)", messages)
    assert grpcio
    assert protobuf
    assert {f"grpcio>={grpcio[1]}", f"protobuf>={protobuf[1]}"} <= set(project["project"]["dependencies"])
