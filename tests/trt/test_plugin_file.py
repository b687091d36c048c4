"""The library's file: what it needs and what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.native import REPOSITORY, tool
from tests.trt.plugin_host import library

OLDEST_GLIBC = (2, 28)
SHOWN = ["error", "offer", "reach", "version", "withdraw"]


@pytest.fixture(scope="module")
def file() -> Path:
    return library()


def test_only_what_tensorrt_and_mive_call_is_exported(file: Path) -> None:
    names = [line.split()[-1] for line in tool("nm", "-D", "--defined-only", file).splitlines()]
    assert sorted(names) == ["getCreators", *(f"mive_plugins_{name}" for name in SHOWN), "setLoggerFinder"]


def test_neither_tensorrt_nor_cuda_is_needed_to_load_it(file: Path) -> None:
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", tool("readelf", "-d", file))
    assert set(needed) <= {"libc.so.6", "libm.so.6", "libdl.so.2", "ld-linux-x86-64.so.2"}
    assert re.findall(r"R(?:UN)?PATH.*\[(.+)\]", tool("readelf", "-d", file)) == ["$ORIGIN"]


def test_no_symbol_is_newer_than_the_oldest_glibc(file: Path) -> None:
    versions = re.findall(r"GLIBC_([0-9.]+)", tool("readelf", "-V", file))
    assert max(tuple(map(int, version.split("."))) for version in versions) <= OLDEST_GLIBC
    assert "GLIBCXX" not in tool("readelf", "-V", file)


def test_it_is_stripped_and_names_no_folder_of_its_builder(file: Path) -> None:
    assert ".symtab" not in tool("readelf", "-S", file)
    assert str(REPOSITORY).encode() not in file.read_bytes()
