"""Who reads which file, and for how long."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from mive.media.reading import each_read, longest_reading, reading, reads


def test_the_outermost_names_the_file_and_every_piece_begins_anew() -> None:
    assert longest_reading() is None
    with reading("clip.mov"):
        time.sleep(0.05)
        with reading("fd:"):
            asked = longest_reading()
            assert asked is not None
            assert asked[0] == "clip.mov"
            assert asked[1] < 0.04, "a piece of its own"
        asked = longest_reading()
        assert asked is not None
        assert asked[1] < 0.04, "it got ahead"
    assert longest_reading() is None


def test_what_is_done_with_a_thing_is_no_reading() -> None:
    for thing in each_read("clip.mov", range(3)):
        assert longest_reading() is None, thing


def test_an_error_ends_it() -> None:
    @reads
    def fail(path: Path) -> None:
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        fail(Path("clip.mov"))
    assert longest_reading() is None


def test_the_longest_of_several_threads_is_told() -> None:
    go = threading.Event()

    def hang() -> None:
        with reading("hanging.mov"):
            go.wait(10)

    thread = threading.Thread(target=hang)
    thread.start()
    time.sleep(0.05)
    with reading("quick.mov"):
        asked = longest_reading()
    assert asked is not None
    assert asked[0] == "hanging.mov"
    go.set()
    thread.join()
