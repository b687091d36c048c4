"""The plugin, built once for these sources; a bridge that keeps to its protocol; hosts that watch their rules."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests import native
from tests.hosts.fake_bridge import FakeBridge
from tests.hosts.link import Pixels
from tests.hosts.melt import CannotInstall, Melt, install
from tests.hosts.ofx_host import Host, Traits
from tests.native import REPOSITORY

SOURCES = REPOSITORY / "plugin_bridge" / "ofx"
PRESETS = REPOSITORY / "backend" / "mive" / "presets.json"

Build = Callable[..., Path]
OpenHost = Callable[..., Host]


def build_plugin(folder: Path, sources: Path = SOURCES, *options: str) -> Path:
    """The plugin built in a folder, unless it is there already."""
    return native.build(folder, sources, "MIVE.ofx.bundle/Contents/Linux-x86-64/MIVE.ofx", *options)


@pytest.fixture(scope="session")
def build() -> Build:
    """``build("-DMIVE_SANITIZE=ON")``: the plugin built with these options, kept under build/ for the same sources."""

    def make(*options: str) -> Path:
        return build_plugin(native.folder_of(SOURCES, *options, also=[PRESETS]), SOURCES, *options)

    return make


@pytest.fixture(scope="session")
def plugin(build: Build) -> Path:
    """The plugin as it is shipped; with sanitizers where ``$MIVE_TEST_PLUGIN`` names one."""
    chosen = os.environ.get("MIVE_TEST_PLUGIN")
    return Path(chosen) if chosen else build()


@pytest.fixture(scope="session")
def melt(plugin: Path) -> Melt:
    """An unmodified melt with the plugin, or the test is skipped."""
    try:
        melt = install(REPOSITORY / "build" / "melt")
    except CannotInstall as why:
        pytest.skip(str(why))
    melt.install_plugin(plugin.parents[2])
    return melt


@pytest.fixture(scope="module")
def melt_folder(melt: Melt) -> Iterator[Path]:
    """A folder that melt sees too."""
    folder = melt.new_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def socket_path(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's bridge listens. Without a bridge, none is started either."""
    path = tmp_path_factory.mktemp("b") / "b.sock"
    monkeypatch.setenv("MIVE_BRIDGE_SOCKET", str(path))
    monkeypatch.setenv("MIVE_BRIDGE", "/nonexistent/mive-bridge")
    return path


@pytest.fixture
def bridge(socket_path: Path) -> Iterator[FakeBridge]:
    with FakeBridge(socket_path) as bridge:
        yield bridge


@pytest.fixture
def open_host(plugin: Path, socket_path: Path) -> Iterator[OpenHost]:
    """``open_host(temporal_access=True)``: a host of these traits, whose plugin starts from nothing.

    Each host loads a copy of the plugin: what another test made it remember is not there.
    """
    hosts: list[Host] = []

    def make(**traits: object) -> Host:
        copy = socket_path.parent / f"{len(hosts)}.ofx"
        shutil.copy(plugin, copy)
        hosts.append(Host(copy, Traits(**traits)))  # type: ignore[arg-type]
        return hosts[-1]

    yield make
    for host in hosts:
        host.unload()
        assert host.violations == []
        assert host.lent() == 0, "images were not given back"


@pytest.fixture
def footage() -> Callable[[float], Pixels]:
    """A clip of 64 × 48 RGBA, whose frames all differ."""
    frames = np.random.default_rng(1).integers(0, 256, (10, 48, 64, 4), dtype=np.uint8)
    return lambda time: frames[int(time)]


def pid_of(socket_path: Path) -> int | None:
    """The process id of a bridge that the plugin started."""
    try:
        return int(Path(f"{socket_path}.pid").read_text())
    except FileNotFoundError:
        return None


@pytest.fixture
def startable(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A bridge that the plugin can start by itself; ended with the test."""
    program = socket_path.parent / "mive-bridge"
    script = REPOSITORY / "tests" / "hosts" / "fake_bridge.py"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" "{script}" "$@" 2>"{socket_path}.log"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("MIVE_BRIDGE", str(program))
    yield program
    if (pid := pid_of(socket_path)) is not None:
        os.kill(pid, 9)
