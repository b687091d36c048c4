"""``mive-bridge --doctor``."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.bridge.conftest import BridgeProcess

from mive import __version__

Make = Callable[[], BridgeProcess]


@pytest.fixture
def place(make_bridge: Make, tmp_path: Path) -> BridgeProcess:
    """With a plugin where hosts look, and no server."""
    place = make_bridge()
    (tmp_path / "plugins" / "MIVE.ofx.bundle").mkdir(parents=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        free = taken.getsockname()[1]
    place.environment |= {"OFX_PLUGIN_PATH": str(tmp_path / "plugins"), "MIVE_SERVER": f"127.0.0.1:{free}"}
    return place


def problems_of(place: BridgeProcess) -> list[str]:
    """What the doctor finds wrong, apart from the server."""
    done = place.run("--doctor")
    assert done.returncode == 1
    found = [line for line in done.stdout.splitlines() if line.startswith("Problem: ")]
    return [line for line in found if "no server answers" not in line]


def test_every_problem_comes_once_and_with_its_fix(place: BridgeProcess) -> None:
    place.config.write_text("start_server = maybe")
    done = place.run("--doctor")
    assert done.returncode == 1
    settings, server = [line for line in done.stdout.splitlines() if line.startswith("Problem: ")]
    assert "bridge.toml cannot be read" in settings
    assert "Correct it, or remove it" in settings
    assert "no server answers" in server
    assert "correct MIVE_SERVER" in server
    assert "bridge: none is running; the plugin starts one" in done.stdout
    assert done.stdout.count("no server answers") == 1


def test_without_an_address_a_server_can_be_started(place: BridgeProcess) -> None:
    with socket.socket() as usual:
        try:
            usual.bind(("127.0.0.1", 7433))
        except OSError:
            pytest.skip("the usual port of servers is in use")
    del place.environment["MIVE_SERVER"]
    assert "set start_server = true in" in place.run("--doctor").stdout
    place.set(start_server=True)
    place.environment["PATH"] = "/usr/bin:/bin"
    assert 'the bridge cannot start mive-server: it is missing. pip install "mive[server]".' in (
        place.run("--doctor").stdout
    )


def test_a_wrong_setting_is_told_by_file_and_name(place: BridgeProcess) -> None:
    place.set(cache_gigabyte=3)
    (told,) = problems_of(place)
    assert f"{place.config}, cache_gigabyte: there is no such field" in told
    assert 'Perhaps "cache_gigabytes" is meant' in told


def test_a_running_bridge_is_asked(place: BridgeProcess) -> None:
    place.start()
    assert place.process is not None
    done = place.run("--doctor")
    assert f"bridge: {__version__} is running, process {place.process.pid}" in done.stdout
    assert f"cache: {place.cache}: 0.0 GB of at most 20.0 GB" in done.stdout
    assert "plugins/MIVE.ofx.bundle" in done.stdout


def test_a_bridge_that_hangs_is_told(place: BridgeProcess) -> None:
    process = place.start().process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    assert problems_of(place) == [
        f"Problem: the bridge, process {process.pid}, hangs. kill -9 {process.pid}; the plugin starts another."
    ]


def test_what_is_no_bridge_is_told(place: BridgeProcess) -> None:
    place.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.socket))
        listener.listen()

        def babble() -> None:
            with listener.accept()[0] as connection:
                connection.sendall(b"220 smtp.example.org ESMTP")

        speaker = threading.Thread(target=babble)
        speaker.start()
        (told,) = problems_of(place)
        speaker.join()
    assert f"what listens at {place.socket} is no bridge. kill " in told


def test_a_cache_that_cannot_be_written_is_told(place: BridgeProcess) -> None:
    place.cache.mkdir(parents=True)
    (place.cache / "frames").write_text("a file")
    (told,) = problems_of(place)
    assert "frames cannot be written to: Not a directory" in told
    assert "set MIVE_CACHE to another folder" in told


def test_a_disk_that_is_too_small_is_told(place: BridgeProcess) -> None:
    place.set(cache_gigabytes=1e9)
    (told,) = problems_of(place)
    assert "edited frames may take 1000000000.0 GB more in" in told
    assert f"lower cache_gigabytes in {place.config}" in told
