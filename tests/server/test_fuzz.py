"""Whatever arrives: no crash, no hang, and every answer a typed status with a sentence that a user can act on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from tests.server.fuzzer import SECONDS, Fuzzer
from tests.server.served import modelless

MB = 1_000_000
Record = Callable[[str, object], None]


@pytest.mark.parametrize(
    "count",
    [pytest.param(300, marks=pytest.mark.slow), pytest.param(10_000, marks=pytest.mark.soak)],
)
def test_whatever_arrives_is_answered(
    tmp_path: Path, count: int, record_property: Callable[[str, object], None]
) -> None:
    limits = {"region_bytes": "16 MiB", "results_bytes": "64 MiB", "frame_side": 4096}
    server = modelless(tmp_path / "data", "reading", shared_memory=True, limits=limits).ready()
    try_case = Fuzzer(server, tmp_path)
    processes = {"server": psutil.Process(server.process.pid), "worker": server.worker()}
    before = {name: process.memory_info().rss for name, process in processes.items()}
    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(try_case, range(count)))
    # What was slow because others were in its way is not slow alone.
    slow = [try_case(outcome.seed) for outcome in outcomes if outcome.seconds > SECONDS]
    wrong = [each for each in outcomes if each.wrong] + [each for each in slow if each.seconds > SECONDS]
    for status, times in Counter(f"{each.kind}: {each.status}" for each in outcomes).most_common():
        record_property(status, times)
    record_property("seconds of the slowest case", round(max(each.seconds for each in outcomes), 1))
    for name, process in processes.items():
        record_property(f"MB that the {name} grew by", (process.memory_info().rss - before[name]) // MB)
    assert not wrong, "\n".join(map(str, wrong[:50]))
    assert server.process.poll() is None
    assert server.worker().pid == processes["worker"].pid
    server.close()
