"""Suites on disk: what is read, and what is said about what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mive.errors import RequestError
from mive.evaluate.bench.suite import Suite, load_suite

Change = Callable[[dict[str, Any]], object]


def test_a_clip_says_what_becomes_of_what(squares: Suite) -> None:
    assert [clip.name for clip in squares.clips] == ["one", "three", "two"]
    clip = squares.clips[2]
    assert [(one.id, one.source_caption, one.caption) for one in clip.instances] == [
        (1, "a red square", "a green square"),
        (2, "a green square", "a blue square"),
    ]
    assert clip.source_caption == "a red square, a green square, a blue square on grey"
    assert clip.target_caption == "a green square, a blue square, a blue square on grey"
    assert clip.source.is_file()
    assert clip.mattes.is_dir()


def test_a_range_of_clips(squares: Suite) -> None:
    assert [clip.name for clip in squares.select("1-2")] == ["three", "two"]
    assert squares.select(None) == squares.clips
    for wrong in ("1-3", "b", "2-1"):
        with pytest.raises(RequestError, match="clips"):
            squares.select(wrong)


def test_the_digest_follows_what_is_said(squares: Suite) -> None:
    before = {clip.name: clip.digest for clip in squares.clips}
    change(squares, lambda about: about["instances"][0].update(caption="a blue square"))
    after = {clip.name: clip.digest for clip in load_suite(squares.folder).clips}
    assert {name for name in before if before[name] != after[name]} == {"two"}


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        (lambda a: a.pop("mattes"), "mattes", "it is missing"),
        (lambda a: a.update(mate="x"), "mate", "no such field"),
        (lambda a: a.update(version=2), "version", "2"),
        (lambda a: a.update(source="sorce.mkv"), "source", 'Perhaps "source.mkv" is meant'),
        (lambda a: a.update(ideal="best.mkv"), "ideal", "there is no"),
        (lambda a: a["instances"][1].update(id=1), r"instances\[1\].id", "the id 1 is there twice"),
        (lambda a: a["instances"][0].update(id=0), r"instances\[0\].id", "1 or more"),
        (lambda a: [one.pop("caption", 0) for one in a["instances"]], "instances", "nothing to edit"),
        (lambda a: a.update(global_caption="<1>a</1> <2>b"), "global_caption|<2>", "<2> is never closed"),
        (lambda a: a.update(global_caption="<1>a</1>"), "global_caption", "it has 0 tags <2>"),
        (lambda a: a.update(global_caption="<1>a</1> <1>b</1> <2>c</2>"), "global_caption", "it has 2 tags <1>"),
        (lambda a: a.update(global_caption="<1>a</1> <2>b</2> <9>c</9>"), "global_caption", "<9> is no instance's id"),
    ],
)
def test_mistakes_are_told_by_file_and_field(squares: Suite, wrong: Change, field: str, words: str) -> None:
    change(squares, wrong)
    with pytest.raises(RequestError) as raised:
        load_suite(squares.folder)
    message = raised.value.message()
    assert str(squares.folder / "two" / "clip.json") in message
    assert words in message
    assert any(name.replace("\\", "") in message for name in field.split("|"))


def test_broken_json_and_folders_that_are_no_suite(squares: Suite, tmp_path: Path) -> None:
    (squares.folder / "two" / "clip.json").write_text("{")
    with pytest.raises(RequestError, match=r"two/clip\.json: not valid JSON"):
        load_suite(squares.folder)
    with pytest.raises(RequestError, match=r"suite\.json cannot be read"):
        load_suite(tmp_path)
    (tmp_path / "suite.json").write_text('{"name": "empty"}')
    with pytest.raises(RequestError, match=r"no clips in .*make-toy"):
        load_suite(tmp_path)


def change(suite: Suite, how: Change) -> None:
    path = suite.folder / "two" / "clip.json"
    about = json.loads(path.read_text())
    how(about)
    path.write_text(json.dumps(about))
