"""Finished frames: whole, in any order, as long as there is room."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from mive.errors import OutputError
from mive.request import FrameRange
from mive.server.errors import ResultsGone
from mive.server.results import JobResults, Results


def a_frame(index: int, dtype: DTypeLike = np.uint8) -> NDArray[np.generic]:
    return np.random.default_rng(index).integers(0, 255, (48, 64, 3)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_frames_come_back_in_any_order_as_soon_as_they_are_there(tmp_path: Path, dtype: DTypeLike) -> None:
    results = JobResults(tmp_path / "job")
    for index in (20, 21, 22):
        results.write(index, a_frame(index, dtype))
        assert np.array_equal(results.read(20), a_frame(20, dtype))
    assert results.indices() == [20, 21, 22]
    assert results.read(22).dtype == dtype
    assert np.array_equal(results.read(22), a_frame(22, dtype))
    with pytest.raises(ResultsGone, match="frame 23"):
        results.read(23)


def test_the_hash_is_that_of_the_pixels(tmp_path: Path) -> None:
    results = JobResults(tmp_path / "job")
    digest = hashlib.sha256()
    for index in range(3):
        results.write(index, a_frame(index)[:, ::-1])
        digest.update(np.ascontiguousarray(a_frame(index)[:, ::-1]).data)
    assert results.hash(FrameRange(0, 2)) == digest.hexdigest()
    with pytest.raises(ResultsGone):
        results.hash(FrameRange(0, 3))


def test_a_window_is_flushed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its files, then the folder; what was flushed is not flushed again."""
    flushed: list[Path] = []
    monkeypatch.setattr("mive.server.results.flush", flushed.append)
    monkeypatch.setattr("mive.base.atomic.flush", flushed.append)
    told: list[int] = []
    results = JobResults(tmp_path / "job", lambda: told.append(1))
    for index in range(3):
        results.write(index, a_frame(index))
    assert (flushed, len(told)) == ([], 3), "they can be read at once all the same"
    results.flush()
    assert set(flushed[:3]) == set(map(results.path, range(3)))
    assert flushed[3:] == [tmp_path / "job"]
    results.flush()
    assert len(flushed) == 4


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_full_disk_leaves_no_part_of_a_frame(tmp_path: Path, size: int) -> None:
    results = JobResults(tmp_path / "job")
    results.write(0, a_frame(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(OutputError, match="no space left to write frame 1") as caught:
            results.write(1, a_frame(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path) not in caught.value.message(), "clients learn no paths of the server"
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["00000000.npy"]


def test_a_failing_flush_or_rename_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = JobResults(tmp_path / "job")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", fail)
        with pytest.raises(OutputError):
            results.write(0, a_frame(0))
    assert list((tmp_path / "job").iterdir()) == []
    results.write(0, a_frame(0))
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OutputError):
        results.flush()


def test_a_note_that_another_version_left_is_no_note(tmp_path: Path) -> None:
    results = Results(tmp_path, limit=0)
    for job in ("other", "own"):
        results.of(job).write(0, a_frame(0))
        results.publish(job, "key" if job == "own" else "", "{}")
    (tmp_path / "other" / "finished").write_bytes(b"\xff\xfe")
    assert results.of("other").finished() is None
    assert set(results.prune()) == {"other", "own"}


def test_the_least_recently_used_finished_jobs_make_room(tmp_path: Path) -> None:
    results = Results(tmp_path, limit=5 * a_frame(0).nbytes)
    for age, job in enumerate(("old", "read lately", "new", "running")):
        for index in range(2):
            results.of(job).write(index, a_frame(index))
        if job != "running":
            results.publish(job, "", "{}")
        os.utime(tmp_path / job, (1000 + age, 1000 + age))
    results.of("read lately").read(1)
    assert results.prune() == ["old"]
    assert results.of("old").indices() == []
    with pytest.raises(ResultsGone):
        results.of("old").read(0)
    results.limit = 0
    assert results.prune(keep="read lately") == ["new"]
    assert results.of("running").indices() == [0, 1], "a running job's frames stay"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["read lately", "running"]


def test_a_result_is_handed_out_again_under_its_key(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for index in range(2):
        results.of("first").write(index, a_frame(index))
    assert results.adopt("early", "key") is None, "nobody has finished it"
    results.publish("first", "key", '{"manifest": 1}')
    assert results.adopt("second", "key") == '{"manifest": 1}'
    assert results.adopt("third", "another") is None
    assert results.adopt("first", "key") == '{"manifest": 1}', "killed between finishing and telling"
    assert results.of("first").indices() == [0, 1]
    results.remove("first")
    assert results.of("second").indices() == [0, 1], "each job's frames live on their own"
    assert np.array_equal(results.of("second").read(1), a_frame(1))
    assert results.adopt("fourth", "key") is None


def test_a_job_that_goes_on_keeps_its_frames_while_it_looks_for_those_of_another(tmp_path: Path) -> None:
    """A worker was killed after a window, and the next one asks whether the whole is there already."""
    results = Results(tmp_path)
    results.of("job").write(0, a_frame(0))
    assert results.adopt("job", "key") is None
    results.of("gone").write(0, a_frame(0))
    results.publish("gone", "key", "{}")
    results.of("gone").clear()
    assert results.adopt("job", "key") is None
    assert results.of("job").indices() == [0]


def test_clearing_removes_frames_and_what_was_half_written(tmp_path: Path) -> None:
    results = JobResults(tmp_path / "job")
    results.write(0, a_frame(0))
    (tmp_path / "job" / ".00000001.npy.5.ab.part").write_bytes(b"half")
    mapped = results.read(0)
    results.clear()
    assert list(tmp_path.iterdir()) == []
    assert np.array_equal(mapped, a_frame(0)), "who reads a frame keeps it"
    results.clear()
