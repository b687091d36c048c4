"""The library of plugins under a host in TensorRT's place and a driver in CUDA's, which write down what happens."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from tests import native
from tests.trt.cubin_table import parameter_table
from tests.trt.small import flow_inputs, ipr_inputs

pytest.importorskip("triton")

from mive.attention.machine_code import machine_code
from mive_trt.cubins import Node, pack, work_of
from mive_trt.executor import Port
from mive_trt.flavour import Capability
from mive_trt.nodes import FLOW, IPR
from mive_trt.plugin_library import LIBRARY

SOURCES = native.REPOSITORY / "mive_trt" / "plugins"
HOST = native.REPOSITORY / "tests" / "trt" / "host"
TYPES = {torch.float32: 0, torch.float16: 1, torch.int32: 3, torch.bool: 4, torch.bfloat16: 7}
"""TensorRT's numbers."""

WORKSPACE = 1 << 20
STREAM = 77

_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g")


class Launched(NamedTuple):
    """A launch as the driver saw it; the parameters' bytes."""

    module: int
    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    stream: int
    parameters: list[bytes]


class Run(NamedTuple):
    """What the host printed, and what the driver was asked."""

    said: list[str]
    log: list[str]

    def launches(self) -> list[Launched]:
        """The launches in order."""
        found = []
        for _, module, kernel, grid, block, shared, stream, *parameters in self.of("launch"):
            sizes = [tuple(map(int, x.split(","))) for x in (grid, block)]
            found.append(
                Launched(int(module), kernel, *sizes, int(shared), int(stream), [*map(bytes.fromhex, parameters)])
            )
        return found

    def of(self, what: str) -> list[list[str]]:
        """The log's lines of one kind, as words."""
        return [line.split() for line in self.log if line.startswith(f"{what} ")]


def library(*options: str) -> Path:
    """The library, built for these sources."""
    also = (SOURCES.parent / "nodes.py", native.REPOSITORY / "plugin_bridge" / "ofx" / "src" / "old_glibc.cpp")
    return native.build(native.folder_of(SOURCES, *options, also=also), SOURCES, LIBRARY, *options)


def node_of(op: str, dtype: torch.dtype = torch.float16, **sizes: int) -> Node:
    """A small node of random cross-attention or flow-guided attention."""
    given = {IPR: ipr_inputs, FLOW: flow_inputs}[op](**sizes)
    ports = (Port(tuple(x.shape), dtype if x.dim() == 4 else x.dtype) for x in given.values())
    return Node({IPR: f"{IPR};bounded=1", FLOW: FLOW}[op], tuple(ports))


@cache
def host(sanitized: bool) -> Path:
    """The host and the driver, in a folder of their own."""
    native.cmake()
    folder = native.folder_of(HOST, f"sanitized={sanitized}", also=(SOURCES / "include",))
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", *(_SANITIZERS if sanitized else ())]
    folder.mkdir(parents=True, exist_ok=True)
    driver = ["-fPIC", "-shared", "-Wl,-soname,libcuda.so.1", HOST / "fake_cuda.cpp", "-o", folder / "libcuda.so.1"]
    program = ["-I", SOURCES / "include", HOST / "host.cpp", "-o", folder / "host", "-ldl"]
    for made, command in (("libcuda.so.1", driver), ("host", program)):
        if not (folder / made).exists():
            subprocess.run(["nice", "-n", "10", "c++", *flags, *command], check=True)
    return folder


def run(
    node: Node,
    capabilities: Sequence[Capability],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *,
    sanitized: bool = False,
    key: str | None = None,
    driver: bool = True,
) -> Run:
    """Three runs of an engine with one node on a GPU of compute capability 8.6.

    Args:
        key: what kernels are offered as, if not as the node's own.
        driver: whether there is one.
    """
    files = []
    for major, minor in capabilities:
        file = folder / f"sm{major}{minor}"
        file.write_bytes(pack(node, (major, minor)))
        files.append(f"{major}{minor}={file}")
    log = folder / "log"
    log.write_text("")
    _, _, shapes = (own := node.key(TYPES)).removeprefix(node.chosen).partition(";")
    op, _, attribute = node.chosen.partition(";")
    options = ["-DMIVE_SANITIZE=ON"] if sanitized else []
    place = host(sanitized)
    done = subprocess.run(
        [place / "host", library(*options), op, attribute or "-", shapes, key or own, *files],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "LD_LIBRARY_PATH": str(place) if driver else "/nonexistent",
            "FAKE_CUDA_LOG": str(log),
            "FAKE_CUDA_SM": "86",
            "FAKE_CUDA_SIZES": _sizes(node),
            **(environment or {}),
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return Run(done.stdout.splitlines(), log.read_text().splitlines())


def _sizes(node: Node) -> str:
    """The bytes of each kernel's parameters, as the machine code has them."""
    found = {}
    for step in work_of(node).steps:
        code = machine_code(step.launch, (8, 6))
        found[code.name] = ",".join(str(place.size) for place in parameter_table(code.cubin, code.name).places)
    return ";".join(f"{name}={sizes}" for name, sizes in found.items())


def number(value: bytes) -> int:
    """A parameter as an unsigned integer."""
    return int.from_bytes(value, "little")


def real(value: bytes) -> float:
    """A parameter as a float32."""
    return float(struct.unpack("<f", value)[0])
