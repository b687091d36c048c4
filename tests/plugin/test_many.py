"""Many threads, many instances, many frames: nothing is mixed up, and nothing is left behind."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.hosts.fake_bridge import FakeBridge
from tests.hosts.link import Message
from tests.hosts.ofx_host import Content
from tests.plugin.conftest import OpenHost
from tests.plugin.shots import analysed, edited, effect_on

LONGEST = 6 + 1.5
"""Seconds: the longest render of a missing frame, and what a busy machine may add."""


def test_eight_threads_get_each_its_own_frame(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    host = open_host(temporal_access=True)
    effects = [analysed(effect_on(footage, host)), analysed(effect_on(footage, host))]

    def one(job: int) -> bool:
        frame = job % 10
        shown = effects[job % 2].render(frame)
        return shown.status == 0 and np.array_equal(shown.pixels, edited(footage(frame), frame))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, random.Random(0).sample(range(200), 200)))
    assert bridge.connections <= 9


def test_a_thousand_instances_leave_nothing_behind(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))

    def cycles(count: int) -> None:
        nonlocal effect
        for number in range(count):
            effect = effect.recreated()
            if number % 10 == 0:
                effect.render(number // 10 % 10)
        gc.collect()

    cycles(100)
    me = psutil.Process()
    before = me.memory_info().rss, me.num_fds(), me.num_threads()
    cycles(1000)
    after = me.memory_info().rss, me.num_fds(), me.num_threads()
    if "MIVE_TEST_PLUGIN" not in os.environ:  # LeakSanitizer looks by itself, and needs memory to do so
        assert after[0] - before[0] < 4 << 20
    assert after[1:] == before[1:]


def test_the_plugin_has_no_thread(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    before = psutil.Process().num_threads()
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    effect.render(3)
    talking = bridge.connections  # the fake bridge has a thread for each, in this process
    assert psutil.Process().num_threads() == before + talking


def test_unloading_closes_everything(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    host = open_host(temporal_access=True)
    before = psutil.Process().num_fds()
    effect = analysed(effect_on(footage, host))
    effect.render(3)
    assert "mive-frames" in Path("/proc/self/maps").read_text()
    host.unload()
    assert _settles(lambda: psutil.Process().num_fds(), before) == before
    assert host.load() == 0
    np.testing.assert_array_equal(effect.render(3).pixels, edited(footage(3), 3))


def test_a_host_that_forks_keeps_both_conversations_apart(
    open_host: OpenHost, footage: Content, bridge: FakeBridge
) -> None:
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    child = os.fork()
    if child == 0:
        shown = effect.render(3)
        os._exit(0 if np.array_equal(shown.pixels, edited(footage(3), 3)) else 1)
    np.testing.assert_array_equal(effect.render(4).pixels, edited(footage(4), 4))
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(effect.render(5).pixels, edited(footage(5), 5))


@pytest.mark.slow
def test_a_bridge_that_dies_a_hundred_times(open_host: OpenHost, footage: Content, bridge: FakeBridge) -> None:
    """Every frame is the source or the edit, no render exceeds its deadline, and all is well in the end."""
    effect = analysed(effect_on(footage, open_host(temporal_access=True)))
    chance = random.Random(2)
    ends = threading.Event()
    longest = 0.0
    missed = 0

    def play(seed: int) -> None:
        nonlocal longest, missed
        frames = random.Random(seed)
        while not ends.is_set():
            frame = frames.randrange(10)
            start = time.monotonic()
            shown = effect.render(frame)
            longest = max(longest, time.monotonic() - start)
            assert shown.status == 0
            if not np.array_equal(shown.pixels, edited(footage(frame), frame)):
                np.testing.assert_array_equal(shown.pixels, footage(frame))
                missed += 1

    def hiccup(request: Message, answer: Message | None) -> Message | bytes | None:
        if answer is not None and chance.random() < 0.01:
            return answer.encode()[: chance.randrange(20)]
        return answer

    bridge.twist = hiccup
    with ThreadPoolExecutor(4) as pool:
        players = [pool.submit(play, seed) for seed in range(4)]
        for _ in range(100):
            time.sleep(chance.random() * 0.1)
            bridge.close()
            bridge.__enter__()
        ends.set()
        for player in players:
            player.result()
    assert missed > 0
    assert longest < LONGEST
    bridge.twist = lambda request, answer: answer
    time.sleep(2)
    np.testing.assert_array_equal(analysed(effect).render(1).pixels, edited(footage(1), 1))


def _settles(measure, wanted: int) -> int:  # type: ignore[no-untyped-def]
    """The measure, once it is as wanted, or after two seconds."""
    for _ in range(40):
        if measure() == wanted:
            break
        time.sleep(0.05)
    return int(measure())
