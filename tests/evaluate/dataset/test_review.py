"""The review file as a person leaves it: what is sound, and what is said about what is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mive.errors import RequestError
from mive.evaluate.dataset.checking import Checked, check_rows
from mive.evaluate.dataset.review import COLUMNS, Row, read_review, write_rows

SOUND = """\
clip\tid\tclass\ttext\treview\tnote\tcandidate 1\tcandidate 2\tcandidate 3\tcandidate 4\tcandidate 5
one\tcaption\t\t<1>a boy</1> throws <2>a ball</2> on grass\tok
one\t1\tperson\tan alien
one\t2\tball\ta yellow ball\t\t\ta yellow ball\ta plum\ta globe\ta cannonball\ta wool ball
one\t3\tgrass\t-
two\tcaption\t\t<1>a cat</1>
two\t1\tcat\ta fox
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "review.tsv"
    path.write_text(SOUND)
    return path


def checked(path: Path) -> list[Checked]:
    return check_rows(read_review(path))


def test_a_sound_file_describes_its_clips(file: Path) -> None:
    one, two = checked(file)
    assert (one.problems, one.reviewed, two.problems, two.reviewed) == ((), True, (), False)
    about = one.described()
    assert about.global_caption == "<1>a boy</1> throws <2>a ball</2> on grass"
    assert [(i.id, i.source_caption, i.caption, i.class_name) for i in about.instances] == [
        (1, "a boy", "an alien", "person"),
        (2, "a ball", "a yellow ball", "ball"),
        (3, "grass", "", "grass"),
    ]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            "<2>a ball</2>",
            "a ball",
            [
                "line 4: one, instance 2: the caption has 0 tags <2>. Put its words in line 2 between <2> and </2> "
                'once, or write "-" here to leave it as it is.'
            ],
        ),
        ("</1> throws", " throws", ["line 2: one: the tag <2>"]),
        ("on grass", "on <7>grass</7>", ["line 2: one, instance 7: its tag <7> is no instance's"]),
        ("on grass", "on <2>grass</2>", ["line 4: one, instance 2: the caption has 2 tags <2>"]),
        ("<1>a boy</1> throws <2>a ball</2> on grass", "", ["line 2: one: there is no caption"]),
        ("an alien", "", ["line 3: one, instance 1: there is no target"]),
        ("an alien", "A boy", ['line 3: one, instance 1: the target "A boy" is what it is already']),
        ("an alien", "<1>an alien</1>", ["line 3: one, instance 1: the target has tags in it"]),
        ("an alien", "an\talien", ['line 3: one, instance 1: the review "alien" is not understood here']),
        ("a wool ball", "a wool\tball", ['line 4: one, instance 2: there is a cell too many: "ball"']),
        ("\tok", "\tokk", ['line 2: one: the review "okk" is not understood here. Perhaps "ok" is meant.']),
        ("one\t2\t", "one\t1\t", ["line 4: one, instance 1: the id is there twice"]),
        ("one\t2\t", "one\tx2\t", ['line 4: one, instance x2: the id "x2" is neither']),
        ("one\t2\t", "\t2\t", ["line 4: (no clip), instance 2: the row has no clip"]),
        ("one\tcaption", "one\tcaptoin", ['"captoin" is neither "caption"', 'line 2: one: there is no row "caption"']),
        ("two\t1\tcat\ta fox", "two\t1\tcat\t-", ["line 6: two: no instance has a caption"]),
        ("an alien", '"an alien', ["line 3: one, instance 1: the text has several lines, or a quote"]),
    ],
)
def test_mistakes_are_told_by_line_clip_and_instance(file: Path, before: str, after: str, told: Sequence[str]) -> None:
    assert before in SOUND
    file.write_text(SOUND.replace(before, after, 1))
    problems = "\n".join(str(problem) for one in checked(file) for problem in one.problems)
    for words in told:
        assert words in problems


def test_all_mistakes_of_a_clip_are_told_and_other_clips_are_not_held_up(file: Path) -> None:
    file.write_text(SOUND.replace("an alien", "").replace("a yellow ball\t\t", "a ball\t\t"))
    one, two = checked(file)
    assert [problem.line for problem in one.problems] == [3, 4]
    assert two.problems == ()


def test_a_dropped_clip_may_be_wrong(file: Path) -> None:
    file.write_text(SOUND.replace("\tok", "\tdrop").replace("<2>", "<"))
    assert (checked(file)[0].dropped, checked(file)[0].problems) == (True, ())


def test_editors_and_spreadsheets(file: Path) -> None:
    plain = [replace(row, line=0) for row in read_review(file)]
    cells = [line.split("\t") for line in SOUND.splitlines()]
    quoted = "\r\n".join("\t".join(f'"{cell}"' for cell in [*row, *[""] * 11][:13]) for row in cells)
    file.write_bytes(b"\xef\xbb\xbf" + quoted.encode())
    assert [replace(row, line=0) for row in read_review(file)] == plain
    file.write_text(SOUND.replace("a fox", 'a 12" fox').replace("\tok", "\tOk") + "\n\t\t\n")
    assert read_review(file)[-1].text == 'a 12" fox'
    assert checked(file)[0].reviewed


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"clip,id,class\n", "tabs rather than commas"),
        (SOUND.encode("utf-16"), "UTF-8"),
        (SOUND.replace("an alien", '"' + "x" * 140_000).encode(), "line 3: .*Close the quote"),
    ],
)
def test_what_is_no_review_file(file: Path, data: bytes, words: str) -> None:
    file.write_bytes(data)
    with pytest.raises(RequestError, match=words):
        read_review(file)


def test_rows_are_put_in_place_and_others_stay(file: Path) -> None:
    write_rows(file, [Row("one", "caption", text='"quoted"\tand more'.replace("\t", " ")), Row("one", "1", "person")])
    write_rows(file, [Row("three", "caption", note="new")])
    rows = read_review(file)
    assert [(row.clip, row.id) for row in rows] == [
        ("one", "caption"),
        ("one", "1"),
        ("two", "caption"),
        ("two", "1"),
        ("three", "caption"),
    ]
    assert (rows[0].text, rows[3].text, rows[4].note) == ('"quoted" and more', "a fox", "new")
    assert file.read_text().splitlines()[0].split("\t") == list(COLUMNS)


def test_rows_of_a_clip_that_lie_apart_are_brought_together(file: Path) -> None:
    file.write_text(SOUND + "one\t4\tsky\t-\n")
    own = [row for row in read_review(file) if row.clip == "one"]
    write_rows(file, own)
    assert [row.clip for row in read_review(file)] == ["one"] * 5 + ["two"] * 2
