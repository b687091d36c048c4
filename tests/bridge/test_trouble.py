"""Disks that are full, files that others removed, and what killed bridges left behind."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.bridge.conftest import PROGRAM, BridgeProcess
from tests.bridge.editing_server import EditingServer
from tests.bridge.plugin import edit_fields, until
from tests.bridge.test_life import SOURCES, collect
from tests.hosts import link

from mive.errors import OutputError
from mive_bridge.frames import FrameCache
from mive_bridge.place import Place
from mive_bridge.servers import OwnServer, tls_for
from mive_bridge.settings import Settings

Make = Callable[[], BridgeProcess]
NOWHERE = "127.0.0.1:1"
LAST = len(SOURCES) - 1


def folder_of(bridge: BridgeProcess, fields: dict[str, str]) -> Path:
    """Where the bridge keeps an edit."""
    (folder,) = (bridge.cache / "edits").glob(f"*/{link.edit_key(fields)}")
    return folder


def rewrite(folder: Path, **standing: object) -> None:
    """Makes the disk remember another standing of an edit."""
    record = json.loads((folder / "edit.json").read_text())
    record["standing"] |= standing
    (folder / "edit.json").write_text(json.dumps(record))


@pytest.fixture
def stopped(make_bridge: Make) -> tuple[BridgeProcess, dict[str, str]]:
    """An edit whose frames were all handed over to a bridge that was killed then."""
    bridge, fields = make_bridge().start(), edit_fields(frames=f"0-{LAST}")
    plugin = bridge.plugin()
    collect(plugin, fields, NOWHERE)
    until(lambda: "no server answers" in plugin.status(fields).get("text", ""))
    bridge.kill()
    return bridge, fields


def test_frames_that_somebody_removed_are_collected_again(stopped: tuple[BridgeProcess, dict[str, str]]) -> None:
    bridge, fields = stopped
    folder = folder_of(bridge, fields)
    for number in (1, 3):
        (file,) = folder.glob(f"puts/{number}-*")
        file.write_bytes(file.read_bytes()[: 1 - number])
    rewrite(folder, phase="queued", made="", job="")
    plugin = bridge.start().plugin()
    until(lambda: plugin.status(fields)["state"] == "collecting")
    assert plugin.status(fields)["missing"] == "1,3"


def test_an_edit_whose_frames_are_all_there_goes_on_when_one_is_asked_for(
    stopped: tuple[BridgeProcess, dict[str, str]],
) -> None:
    """Nobody presses Analyse again when a bridge was killed before it noted that nothing is missing."""
    bridge, fields = stopped
    rewrite(folder_of(bridge, fields), phase="collecting", made="", job="")
    plugin = bridge.start().plugin()
    plugin.frame(fields, 0, source=SOURCES[0])
    until(lambda: "no server answers" in plugin.status(fields).get("text", ""))
    assert plugin.status(fields)["state"] == "queued"


def test_what_was_sent_goes_when_the_edit_was_done(stopped: tuple[BridgeProcess, dict[str, str]]) -> None:
    bridge, fields = stopped
    folder = folder_of(bridge, fields)
    (folder / "sent-0" / "clip").mkdir(parents=True)
    rewrite(folder, phase="done", made="0" * 64)
    assert list(folder.glob("puts/*"))
    bridge.start()
    until(lambda: not list(folder.glob("sent-*")) and not list(folder.glob("puts/*")))
    assert (folder / "edit.json").exists()


def test_frames_that_nobody_has_edited_go_after_a_week(stopped: tuple[BridgeProcess, dict[str, str]]) -> None:
    bridge, fields = stopped
    folder = folder_of(bridge, fields)
    week = 8 * 86400
    for phase, kept in (("running", True), ("failed", False)):
        rewrite(folder, phase=phase)
        for path in (folder / "edit.json", folder):
            then = path.stat().st_mtime - week
            os.utime(path, (then, then))
        bridge.start()
        until(lambda kept=kept: folder.exists() == kept)
        bridge.plugin().status(edit_fields())
        assert bridge.stop() == 0
    assert not folder.exists()


def test_of_bridges_that_start_at_once_one_stays(make_bridge: Make) -> None:
    bridge = make_bridge()
    bridges = [subprocess.Popen(PROGRAM, env=bridge.environment) for _ in range(4)]
    try:
        until(lambda: [each.poll() for each in bridges].count(0) == 3)
        assert bridge.plugin().status(edit_fields()) == {"state": "unknown"}
        assert [each.poll() for each in bridges].count(None) == 1
    finally:
        for each in bridges:
            each.kill()
            each.wait()


def test_a_bridge_whose_socket_was_removed_makes_room_for_another(make_bridge: Make) -> None:
    bridge = make_bridge()
    bridge.set(idle_minutes=0.1)
    first = bridge.start().process
    assert first is not None
    bridge.socket.unlink()
    Path(f"{bridge.socket}.lock").unlink()
    bridge.start().plugin()
    assert first.wait(20) == 0
    bridge.plugin()
    assert bridge.socket.exists(), "the first did not take the second's socket away"


def test_a_file_is_not_taken_for_a_socket(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt is no socket"):
        Place(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(OutputError, match="everybody may write"):
        Place(tmp_path / "open" / "b.sock")


@pytest.mark.parametrize("argument", [(), ("--detach",)], ids=["in front", "detached"])
def test_a_cache_that_cannot_be_used_is_told_before_anybody_waits(make_bridge: Make, argument: tuple[str, ...]) -> None:
    bridge = make_bridge()
    bridge.cache.mkdir(parents=True)
    (bridge.cache / "frames").write_text("a file")
    done = bridge.run(*argument)
    assert done.returncode == 5
    if not argument:
        assert "frames cannot be used" in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte, or the test is skipped."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_told_and_the_bridge_goes_on_when_there_is_room(make_bridge: Make, small_disk: Path) -> None:
    bridge = make_bridge()
    bridge.environment["MIVE_CACHE"] = str(small_disk)
    plugin, fields = bridge.start().plugin(), edit_fields(frames=f"0-{LAST}")
    plugin.order(fields, server=NOWHERE)
    (small_disk / "other").write_bytes(bytes((os.statvfs(small_disk).f_bavail - 2) * 4096))
    for number in range(2):
        answer = plugin.put(fields, number, source=SOURCES[number])
    assert answer.type == "error"
    assert answer.fields["text"] == "The bridge cannot read or write its files: No space left on device."
    assert plugin.status(fields)["state"] == "collecting"
    (small_disk / "other").unlink()
    collect(plugin, fields, NOWHERE)
    assert plugin.status(fields)["state"] == "queued"


def test_a_disk_that_is_full_when_edited_frames_come_fails_the_edit_until_analyse(
    make_bridge: Make, small_disk: Path, tmp_path: Path
) -> None:
    bridge = make_bridge()
    bridge.environment["MIVE_CACHE"] = str(small_disk)
    plugin, fields = bridge.start().plugin(), edit_fields(frames=f"0-{LAST}")
    (tmp_path / "server").mkdir()
    with EditingServer(tmp_path / "server", server_paths=True) as server:
        server.be.hold.clear()
        collect(plugin, fields, server.address)
        until(lambda: plugin.status(fields)["state"] == "running")
        with contextlib.suppress(OSError), (small_disk / "other").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        server.be.hold.set()
        state = plugin.finish(fields)
        assert state["state"] == "failed"
        assert state["text"].startswith("the bridge's disk is full (No space left on device). Expected room")
        (small_disk / "other").unlink()
        plugin.order(fields, server=server.address, again=True)
        assert plugin.finish(fields)["state"] == "done"


def test_a_lower_limit_holds_from_the_start(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.frame").write_bytes(bytes(1000))
    cache = FrameCache(tmp_path, 2000)
    assert cache.bytes == 2000
    assert len(list(tmp_path.iterdir())) == 2


def test_a_frame_that_cannot_be_read_now_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.frame").write_bytes(bytes(1000))
    cache = FrameCache(tmp_path, 2000)

    def out_of_descriptors(*arguments: object, **options: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", out_of_descriptors)
        with pytest.raises(OSError, match="Too many"):
            cache.facts("a")
    assert "a" in cache
    assert (tmp_path / "a.frame").exists()


def test_of_many_edits_without_a_server_one_starts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mive-server"
    program.write_text(f'#!/bin/sh\necho started >> "{tmp_path}/starts"\nexec sleep 60\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    owns = [OwnServer(tmp_path) for _ in range(2)]
    threads = [threading.Thread(target=owns[number % 2].start) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    process = psutil.Process(json.loads((tmp_path / "server.json").read_text())["pid"])
    until((tmp_path / "starts").exists)
    for own in owns:
        own.stop()
    psutil.wait_procs([process], 10)
    assert not process.is_running()
    assert (tmp_path / "starts").read_text() == "started\n"


def test_certificates_are_for_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIVE_SERVER", raising=False)
    settings = Settings(ca=Path("/etc/render-ca.pem"))
    assert tls_for(settings, "") is None
    assert tls_for(settings, "127.0.0.1:7433") is None
    assert tls_for(settings, "render7:7433") is not None
    assert tls_for(Settings(), "render7:7433") is None, "the usual authorities"
    monkeypatch.setenv("MIVE_SERVER", "render7:7433")
    assert tls_for(settings, "") is not None
