"""kill -9 of the bridge and of the server at random moments of a playback: the real plugin in a host, a real server.

What is promised: a render returns within its deadline, shows the source or the right edit and nothing else, and edited
frames come again without anybody doing anything.
"""

# ruff: noqa: F811 - fixtures of the plugin's tests are used here by their names

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from tests.bridge.conftest import BridgeProcess, bridges
from tests.bridge.plugin import until
from tests.bridge.test_life import jobs_of
from tests.hosts.link import Pixels
from tests.hosts.ofx_host import FILTER, Content, Host
from tests.hosts.ofx_instance import Effect
from tests.plugin.conftest import OpenHost, build, open_host, plugin  # noqa: F401
from tests.server.served import Served, modelless

DEADLINES = {"pass": 6.0, "wait": 15.0}
"""Seconds of one render; the first is LINK.md's, the second what MIVE_WAIT_SECONDS says here."""
BUSY = 1.5
"""What a busy machine may add."""
LENGTH = 5


@dataclass
class Servers:
    """One server after the other on the same data, at the same address."""

    data: Path
    one: Served = field(init=False)

    def __post_init__(self) -> None:
        self.one = modelless(self.data).ready()

    def kill(self) -> None:
        self.one.kill()
        self.one.channel.close()

    def start(self) -> None:
        self.one = modelless(self.data, listen=self.one.address)


@dataclass
class Figures:
    """What was seen."""

    renders: int = 0
    edited: int = 0
    kills: dict[str, int] = field(default_factory=lambda: {"bridge": 0, "server": 0, "both": 0})
    waits: dict[str, list[float]] = field(default_factory=lambda: {"pass": [0.0], "wait": [0.0]})
    recoveries: list[float] = field(default_factory=list)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path / "served")
    yield servers
    servers.one.close()


def clip(count: int) -> Content:
    """Opaque noise that is brighter than every edited frame."""
    frames = np.random.default_rng(1).integers(150, 256, (count, 48, 64, 4), np.uint8)
    frames[..., 3] = 255
    return lambda time: frames[int(time)]


class Playback:
    """One edit of a few frames that is analysed and played back until all of it is edited, whatever is killed."""

    def __init__(self, host: Host, source: Content, first: int, on_miss: str, values: dict[str, object]) -> None:
        self.source = source
        self.numbers = range(first, first + LENGTH)
        self.on_miss = on_miss
        shot = {"frameRange": f"{first}-{self.numbers[-1]}", "onMiss": ["pass", "wait"].index(on_miss), **values}
        self.effect: Effect = host.create(FILTER, {"Source": source}, shot)

    def analyse(self) -> None:
        """What the user does, once a bridge has started; and nothing more."""
        until(lambda: (self.effect.press("analyse"), "bridge" not in self.effect.status)[1])

    def render(self, number: int, figures: Figures) -> bool:
        """Whether the frame is edited; if not, it is the source, and a message says so."""
        begun = time.monotonic()
        shown = self.effect.render(number)
        took = time.monotonic() - begun
        assert took < DEADLINES[self.on_miss] + BUSY, shown.message
        figures.waits[self.on_miss].append(took)
        figures.renders += 1
        source = self.source(number)
        if np.array_equal(shown.pixels, edited(source, number - self.numbers.start)):
            figures.edited += 1
            return True
        np.testing.assert_array_equal(shown.pixels, source, "neither the source nor the right edit")
        assert shown.message.startswith("MIVE shows the source. "), shown.message
        return False


def edited(source: Pixels, index: int) -> Pixels:
    """What the server makes of a job's frame: it is full of its own number."""
    shown = source.copy()
    shown[..., :3] = index
    return shown


def play_through_a_kill(
    playback: Playback, user: BridgeProcess, servers: Servers, rng: random.Random, figures: Figures
) -> None:
    """Plays until the kill is over and every frame is edited."""
    victim = rng.choice(list(figures.kills))
    moment, away = rng.uniform(0, 2.5), rng.uniform(0, 1.5)
    back: list[float] = []

    def kill() -> None:
        time.sleep(moment)
        if victim != "server":
            for process in bridges(user):
                process.kill()
        if victim != "bridge":
            servers.kill()
            time.sleep(away)
            servers.start()
        back.append(time.monotonic())

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        end = time.monotonic() + 120
        while not back or not all([playback.render(number, figures) for number in playback.numbers]):
            assert time.monotonic() < end, playback.effect.persistent_message
            playback.render(rng.choice(playback.numbers), figures)
    finally:
        killer.join()
    figures.kills[victim] += 1
    figures.recoveries.append(time.monotonic() - back[0])


@pytest.mark.parametrize(
    "rounds", [pytest.param(6, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.soak)]
)  # fmt: skip
def test_playback_comes_through_kills_of_bridge_and_server(
    open_host: OpenHost,
    user: BridgeProcess,
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
    rounds: int,
) -> None:
    monkeypatch.setenv("MIVE_WAIT_SECONDS", f"{DEADLINES['wait']:.0f}")
    rng, figures, source = random.Random(rounds), Figures(), clip(rounds * LENGTH)
    host = open_host(temporal_access=True, clip_range=(0.0, rounds * LENGTH - 1.0))
    for number in range(rounds):
        pace = rng.choice(["quick ", ""])
        values = {"captions": f"1: {pace}{LENGTH} frames of 64 x 48 u8", "server": servers.one.address}
        playback = Playback(host, source, number * LENGTH, rng.choice(["pass", "pass", "wait"]), values)
        playback.analyse()
        play_through_a_kill(playback, user, servers, rng, figures)
        playback.effect.destroy()
    assert jobs_of(servers.one) == rounds, "nothing is rendered twice"
    record_property("kills of the bridge, the server, both", "{bridge}, {server}, {both}".format(**figures.kills))
    record_property("frames rendered, and how many of them edited", f"{figures.renders}, {figures.edited}")
    for on_miss, text in (("pass", "misses passing through"), ("wait", "misses waiting")):
        seconds = f"{max(figures.waits[on_miss]):.2f} of {DEADLINES[on_miss]:.0f}"
        record_property(f"longest render in seconds, {text}", seconds)
    middle, longest = statistics.median(figures.recoveries), max(figures.recoveries)
    record_property("seconds until all was edited again, median and longest", f"{middle:.1f}, {longest:.1f}")


@pytest.mark.slow
def test_a_bridge_that_hung_is_asked_again_while_frames_are_played(
    open_host: OpenHost, user: BridgeProcess, servers: Servers
) -> None:
    """However often frames are asked for meanwhile: LINK.md says that it is left alone for five seconds."""
    figures, host = Figures(), open_host(temporal_access=True, clip_range=(0.0, LENGTH - 1.0))
    values = {"captions": f"1: quick {LENGTH} frames of 64 x 48 u8", "server": servers.one.address}
    playback = Playback(host, clip(LENGTH), 0, "pass", values)
    playback.analyse()

    def all_edited() -> bool:
        return all([playback.render(number, figures) for number in playback.numbers])

    until(all_edited)
    (bridge,) = bridges(user)
    bridge.suspend()
    until(lambda: not all_edited())
    bridge.resume()
    until(all_edited, 5 + DEADLINES["pass"] + BUSY)
