"""Files and folders that are whole or absent."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mive.base.atomic import file_aside, folder_aside, keep_aside, output_errors, remove_asides, write_text, write_whole
from mive.errors import OutputError


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with file_aside(path) as aside:
        aside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b"half"
        raise ValueError("the other half is not there")

    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="other half"):
        write_whole(path, parts())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("durable", [True, False])
def test_only_what_must_outlive_a_power_cut_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    write_whole(tmp_path / "a", (b"a",), durable=durable)
    assert len(flushed) == (2 if durable else 0), "the file, and the folder that names it"


def test_names_as_long_as_the_system_allows(tmp_path: Path) -> None:
    write_whole(tmp_path / ("a" * 255), (memoryview(b"a"),))
    assert [path.name for path in tmp_path.iterdir()] == ["a" * 255]


def test_a_text_in_a_new_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.md", "naïve\n")
    assert (tmp_path / "new" / "a.md").read_text(encoding="utf-8") == "naïve\n"
    with pytest.raises(OutputError, match=r"Cannot write .*b\.md"):
        write_text(tmp_path / "new" / "a.md" / "b.md", "")


def test_words_can_stand_for_a_path(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Cannot write frame 1: No such file") as caught, output_errors("frame 1"):
        write_whole(tmp_path / "missing" / "1.npy", (b"",))
    assert str(tmp_path) not in caught.value.message()


def test_the_first_of_two_folders_stays(tmp_path: Path) -> None:
    for text, kept in (("first", True), ("second", False)):
        with folder_aside(tmp_path) as aside:
            (aside / "a").write_text(text)
            assert keep_aside(aside, tmp_path / "kept") is kept
    assert (tmp_path / "kept" / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_what_a_killed_process_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    file, folder = tmp_path / ".a.77.abcd.part", tmp_path / ".folder.77.abcd.part"
    file.write_bytes(b"half")
    folder.mkdir()
    (tmp_path / "whole.part").write_bytes(b"not one of them")
    os.utime(folder, (before := time.time() - 100, before))
    remove_asides(tmp_path, seconds=50)
    assert sorted(tmp_path.iterdir()) == [file, tmp_path / "whole.part"]
    remove_asides(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["whole.part"]
