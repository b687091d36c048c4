"""A bridge that is not there, dies, hangs or lies: never a wrong frame, never a wait beyond the deadline."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.hosts.fake_bridge import FakeBridge
from tests.hosts.link import Message
from tests.hosts.ofx_host import Content
from tests.hosts.ofx_instance import Effect
from tests.plugin.conftest import OpenHost, pid_of
from tests.plugin.shots import analysed, edited, effect_on

WAIT = 1
SLACK = 1.5
"""Seconds that a busy machine may add to a deadline."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds + SLACK


def passes_through(effect: Effect, frame: int, because: str) -> None:
    shown = effect.render(frame)
    assert shown.status == 0
    assert shown.message.startswith("MIVE shows the source.")
    assert because in shown.message
    np.testing.assert_array_equal(shown.pixels, effect.contents["Source"](frame))


def shows_the_edit(effect: Effect, frame: int) -> None:
    source = effect.contents["Source"](frame)
    assert source is not None
    shown = effect.render(frame)
    assert (shown.status, shown.message) == (0, "")
    np.testing.assert_array_equal(shown.pixels, edited(source, frame))


def test_no_bridge_and_no_way_to_start_one(open_host: OpenHost, footage: Content, socket_path: Path) -> None:
    effect = effect_on(footage, open_host(temporal_access=True))
    effect.press("analyse")
    assert effect.status == (
        'The bridge "/nonexistent/mive-bridge" cannot be started: No such file or directory. '
        "Install MIVE's bridge with `mive plugin install`."
    )
    with within(0):
        for frame in range(10):
            passes_through(effect, frame, "cannot be started")


def test_a_bridge_that_dies_between_frames(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    bridge.close()
    passes_through(effect, 2, "cannot be started")
    with bridge:
        time.sleep(2)  # between two attempts to start one
        shows_the_edit(effect, 3)


@pytest.mark.parametrize("request_type", ["order", "put", "frame"])
def test_a_bridge_that_dies_while_it_answers(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, request_type: str
) -> None:
    effect = effect_on(footage, open_host(temporal_access=True))
    dying = True

    def die(request: Message, answer: Message | None) -> Message | bytes | None:
        if request.type == request_type and dying:
            raise EOFError
        return answer

    bridge.twist = die
    effect.press("analyse")
    if request_type == "frame":
        passes_through(effect, 2, "The bridge ended while it was answering.")
    else:
        assert effect.status == "The bridge ended while it was answering."
    dying = False
    shows_the_edit(analysed(effect), 2)


@pytest.mark.slow
def test_a_bridge_that_hangs_costs_one_deadline_and_recovers(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    bridge.twist = lambda request, answer: None
    with within(3):
        passes_through(effect, 2, "The bridge does not answer.")
    with within(0):
        for frame in range(10):
            passes_through(effect, frame, "The bridge does not answer.")
        effect.open_panel()
    with within(2):
        effect.press("analyse")
    assert effect.status == "The bridge does not answer."
    bridge.twist = lambda request, answer: answer
    shows_the_edit(analysed(effect), 2)


def test_a_glance_at_a_hanging_bridge_is_short(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    bridge.twist = lambda request, answer: None
    start = time.monotonic()
    effect.set("seed", 4)
    assert time.monotonic() - start < SLACK
    assert effect.status == ""


@pytest.mark.slow
def test_a_late_answer_is_not_taken_for_another(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))

    def late(request: Message, answer: Message | None) -> Message | None:
        if request.type == "frame" and request.fields["frame"] == "2":
            time.sleep(4)
        return answer

    bridge.twist = late
    passes_through(effect, 2, "The bridge does not answer.")
    time.sleep(1.5)
    analysed(effect)
    shows_the_edit(effect, 3)
    shows_the_edit(effect, 4)


def _bent(**changes: str | None) -> Callable[[Message], Message]:
    def bend(answer: Message) -> Message:
        fields = {**answer.fields, **changes}
        return Message(answer.type, {name: value for name, value in fields.items() if value is not None})

    return bend


LIES: dict[str, Callable[[Message], Message | bytes]] = {
    "another id": _bent(id="77"),
    "no id": _bent(id=None),
    "another key": _bent(key="0" * 64),
    "no key": _bent(key=None),
    "another type": lambda answer: Message("ok", answer.fields),
    "an empty message": lambda answer: struct.pack("<I", 0),
    "a message of 4 GB": lambda answer: struct.pack("<I", 2**32 - 1) + b"x" * 100,
    "no text": lambda answer: struct.pack("<I", 4) + b"\xff\xfe\xfd\n",
    "no line feed": lambda answer: struct.pack("<I", 3) + b"hit",
    "a name twice": lambda answer: struct.pack("<I", 14) + b"hit\nid 1\nid 1\n",
    "a bad escape": lambda answer: struct.pack("<I", 17) + b"hit\nid 1\nkey %zz\n",
    "a miss in no state": lambda answer: Message("miss", {"id": answer.fields["id"]}),
    "a miss in an unknown state": lambda answer: Message("miss", {"id": answer.fields["id"], "state": "fine"}),
    "a negative count": lambda answer: Message("miss", {"id": answer.fields["id"], "state": "running", "done": "-1"}),
    "ranges that are none": lambda answer: Message(
        "miss", {"id": answer.fields["id"], "state": "collecting", "missing": "5-2"}
    ),
    "a text with bells": lambda answer: Message("miss", {"id": answer.fields["id"], "state": "failed", "text": "\x07"}),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_bridge_that_lies_is_told_off(open_host: OpenHost, footage: Content, bridge: FakeBridge, lie: str) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    bridge.twist = lambda request, answer: LIES[lie](answer) if request.type == "frame" and answer else answer
    passes_through(effect, 2, "The bridge answers wrongly")
    passes_through(effect, 3, "The bridge answers wrongly")
    assert bridge.requests.count("frame") == 1
    bridge.twist = lambda request, answer: answer
    shows_the_edit(analysed(effect), 2)


@pytest.mark.parametrize("left", ["nothing", "an old frame"])
def test_a_hit_without_the_frame_is_found_out(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    if left == "an old frame":
        shows_the_edit(effect, 1)
    monkeypatch.setattr("tests.hosts.fake_bridge._Conversation._frame", _claims_a_hit)
    passes_through(effect, 2, "the frame is not in shared memory")


def _claims_a_hit(self: object, fields: dict[str, str], _: list[int]) -> Message:
    return Message("hit", {"key": fields["key"]})


def test_a_region_cannot_be_made_shorter(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = effect_on(footage, open_host(temporal_access=True))
    refused: list[int] = []
    # The fake bridge's handler sees the descriptor before it maps it.
    original = os.fstat

    def shortening(descriptor: int) -> os.stat_result:
        try:
            os.ftruncate(descriptor, 0)
        except PermissionError as error:
            refused.append(error.errno)
        return original(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.hosts.fake_bridge.os.fstat", shortening)
        analysed(effect)
    assert refused
    shows_the_edit(effect, 2)


def test_another_protocol_is_refused_with_a_sentence(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = effect_on(footage, open_host())
    bridge.twist = lambda request, answer: Message("welcome", {"id": "1", "protocol": "2", "bridge": "9.0"})
    effect.press("analyse")
    assert effect.status == "The bridge answers wrongly (its greeting is wrong). Update MIVE, or restart the bridge."
    bridge.twist = lambda request, answer: Message("error", {"id": "1", "text": "Update the plugin to 9.0."})
    effect.press("analyse")
    assert effect.status == "Update the plugin to 9.0."


def test_a_socket_that_is_none(open_host: OpenHost, footage: Content, socket_path: Path) -> None:
    socket_path.write_text("not a socket")
    passes_through(effect_on(footage, open_host()), 0, "cannot be started")


def test_a_path_too_long_for_a_socket(
    open_host: OpenHost, footage: Content, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIVE_BRIDGE_SOCKET", "/tmp/" + "x" * 200)
    passes_through(effect_on(footage, open_host()), 0, "cannot be used")


def test_waiting_renders_get_their_frame_as_soon_as_it_is_there(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    bridge.after_frames = "running"
    effect = effect_on(footage, open_host(temporal_access=True), onMiss=WAIT)
    effect.press("analyse")
    assert effect.status.startswith("Editing")
    asked = 0

    def finish_at_last(request: Message, answer: Message | None) -> Message | None:
        nonlocal asked
        asked += request.type == "frame"
        if asked == 3:
            bridge.edit.state = "done"
        return answer

    bridge.twist = finish_at_last
    shows_the_edit(effect, 2)
    assert asked == 4


def test_waiting_ends_where_nothing_can_come(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = effect_on(footage, open_host(temporal_access=True), onMiss=WAIT)
    with within(0):
        shown = effect.render(2)
    assert shown.status == 1
    assert "Not analysed" in shown.message
    np.testing.assert_array_equal(shown.pixels, footage(2))


def test_waiting_ends_at_its_deadline(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIVE_WAIT_SECONDS", "1")
    bridge.after_frames = "running"
    effect = effect_on(footage, open_host(temporal_access=True), onMiss=WAIT)
    effect.press("analyse")
    with within(1):
        shown = effect.render(2)
    assert shown.status == 1
    assert "Editing" in shown.message


@pytest.mark.parametrize("bridge_does", ["run", "hang"])
def test_abort_in_the_middle_gives_the_thread_back(
    open_host: OpenHost, footage: Content, bridge: FakeBridge, bridge_does: str
) -> None:
    bridge.after_frames = "running"
    host = open_host(temporal_access=True)
    effect = effect_on(footage, host, onMiss=WAIT)
    effect.press("analyse")
    if bridge_does == "hang":
        bridge.twist = lambda request, answer: None
    start = time.monotonic()
    host.abort = lambda: time.monotonic() - start > 0.3
    shown = effect.render(2)
    assert 0.3 < time.monotonic() - start < 0.3 + SLACK
    assert shown.status == 0
    np.testing.assert_array_equal(shown.pixels, footage(2))

    host.abort = lambda: False
    bridge.twist = lambda request, answer: answer
    bridge.edit.state = "done"
    shows_the_edit(effect, 2)


def test_the_plugin_starts_a_bridge_when_it_needs_one(
    open_host: OpenHost, footage: Content, socket_path: Path, startable: Path
) -> None:
    effect = effect_on(footage, open_host(temporal_access=True))
    effect.set("seed", 1)
    effect.open_panel()
    assert pid_of(socket_path) is None
    _press_until_done(effect)
    shows_the_edit(effect, 2)

    os.kill(pid_of(socket_path) or 0, signal.SIGKILL)
    _press_until_done(effect)
    shows_the_edit(effect, 3)
    assert _ended_children(effect) == []


def test_a_bridge_that_cannot_start_says_so(
    open_host: OpenHost, footage: Content, socket_path: Path, startable: Path
) -> None:
    startable.write_text("#!/bin/sh\nexit 3\n")
    effect = effect_on(footage, open_host())
    with within(2):
        effect.press("analyse")
    assert effect.status == "The bridge did not start. `mive-bridge --doctor` says why."


@pytest.mark.slow
def test_a_bridge_that_never_gets_ready(
    open_host: OpenHost, footage: Content, socket_path: Path, startable: Path
) -> None:
    startable.write_text("#!/bin/sh\nexec sleep 5\n")
    effect = effect_on(footage, open_host())
    with within(2):
        effect.press("analyse")
    assert effect.status == "The bridge is still starting."
    with within(3):
        passes_through(effect, 0, "The bridge is still starting.")


def test_the_bridge_does_not_get_the_host_s_python(
    open_host: OpenHost, footage: Content, socket_path: Path, startable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/opt/host/python")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/host/libs")
    seen = socket_path.parent / "environment"
    startable.write_text(f"#!/bin/sh\nenv > {seen}\nexit 1\n")
    effect_on(footage, open_host()).press("analyse")
    variables = dict(line.split("=", 1) for line in seen.read_text().splitlines() if "=" in line)
    assert variables["MIVE_BRIDGE_SOCKET"] == str(socket_path)
    assert not {"PYTHONHOME", "LD_LIBRARY_PATH"} & set(variables)


def _press_until_done(effect: Effect) -> None:
    """A start may take longer than a press of the button; the user presses again."""
    for _ in range(10):
        effect.press("analyse")
        if effect.status.startswith("Done"):
            return
        time.sleep(0.5)
    raise AssertionError(effect.status)


def _ended_children(effect: Effect) -> list[psutil.Process]:
    """Those that nobody took leave of, though frames are rendered; what was started may need a moment to end."""
    for frame in range(10):
        shows_the_edit(effect, frame)
        ended = [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]
        if not ended:
            break
        time.sleep(0.1)
    return ended
