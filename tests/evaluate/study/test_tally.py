"""Counting answers: cases worked out by hand, and files that must not be counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mive.errors import RequestError
from mive.evaluate.study.answers import Participant, load_key, load_participants
from mive.evaluate.study.plan import KeyClip, StudyKey
from mive.evaluate.study.questions import QUESTIONS
from mive.evaluate.study.tally import Tally, tally
from mive.evaluate.study.tally_chart import chart
from mive.evaluate.study.tally_files import to_dict, write_tally
from mive.evaluate.study.tally_markdown import markdown

NAMES = [question.name for question in QUESTIONS]
KEY = StudyKey(
    study="5eed",
    title="Cups & balls",
    seed=1,
    methods={"full": "MIVE, full method", "theirs": "<theirs>"},
    clips=(
        KeyClip(id="c1", name="cups", source="s1", mattes="m1", videos={"v1": "full", "v2": "theirs"}),
        KeyClip(id="c2", name="balls", source="s2", mattes="m2", videos={"v3": "theirs", "v4": "full"}),
    ),
)

Edit = Callable[[dict[str, Any]], None]


def handed_in(code: str, first: str, second: str) -> dict[str, Any]:
    """Someone who chose the same two videos in every question."""
    clips = [("c1", ["v2", "v1"], first), ("c2", ["v3", "v4"], second)]
    return {
        "version": 1,
        "study": "5eed",
        "participant": code,
        "started": "2026-01-01T10:00:00.000Z",
        "finished": "2026-01-01T10:20:00.000Z",
        "clips": [{"clip": c, "shown": shown, "choices": dict.fromkeys(NAMES, video)} for c, shown, video in clips],
    }


def written(folder: Path, *answers: dict[str, Any]) -> list[Path]:
    paths = [folder / f"{number}.json" for number in range(len(answers))]
    for path, one in zip(paths, answers, strict=True):
        path.write_text(json.dumps(one))
    return paths


def count(folder: Path, *answers: dict[str, Any]) -> Tally:
    return tally(KEY, load_participants(KEY, written(folder, *answers)))


def test_shares_are_of_all_choices(tmp_path: Path) -> None:
    """Of six choices in each question, full has v1 twice and v4 twice."""
    made = count(tmp_path, handed_in("a", "v1", "v4"), handed_in("b", "v1", "v3"), handed_in("c", "v2", "v4"))
    for name in NAMES:
        assert made.shares["full"][name].mean == pytest.approx(4 / 6)
        assert made.shares["theirs"][name].mean == pytest.approx(2 / 6)
        assert made.shares["full"][name].count == 6


def test_questions_are_counted_apart(tmp_path: Path) -> None:
    answers = handed_in("a", "v1", "v4")
    answers["clips"][0]["choices"]["leakage"] = "v2"
    shares = count(tmp_path, answers, handed_in("b", "v1", "v4")).shares["full"]
    assert [shares[name].mean for name in NAMES] == [1, 1, 0.75]


def test_intervals_come_from_people_and_not_from_choices(tmp_path: Path) -> None:
    """Ten people of whom half always choose the one, half the other: ten draws, not twenty, say how sure that is."""
    people = [handed_in(f"p{n}", *(("v1", "v4") if n % 2 else ("v2", "v3"))) for n in range(10)]
    share = count(tmp_path, *people).shares["full"]["temporal"]
    assert share.mean == 0.5
    # The 2.5 % quantile of a binomial of 10 fair draws is 2, the 97.5 % quantile 8.
    assert (share.low, share.high) == (0.2, 0.8)


def test_people_who_all_answer_alike_leave_no_doubt_about_each_other(tmp_path: Path) -> None:
    share = count(tmp_path, *(handed_in(f"p{n}", "v1", "v3") for n in range(4))).shares["full"]["temporal"]
    assert (share.mean, share.low, share.high) == (0.5, 0.5, 0.5)


def test_one_participant_has_no_interval(tmp_path: Path) -> None:
    made = count(tmp_path, handed_in("a", "v1", "v3"))
    assert made.shares["full"]["temporal"].low is None
    assert "**50.00**" in markdown(made)


def test_who_left_answers_out_is_not_counted_and_named(tmp_path: Path) -> None:
    partial = handed_in("hasty", "v2", "v3")
    del partial["clips"][1]
    del partial["clips"][0]["choices"]["temporal"]
    made = count(tmp_path, partial, handed_in("a", "v1", "v4"))
    assert (list(made.counted), dict(made.excluded)) == (["a"], {"hasty": 4})
    assert made.shares["full"]["temporal"].mean == 1
    assert "hasty is not counted: 4 answers of 6 missing." in markdown(made)


@given(st.lists(st.tuples(st.sampled_from(["v1", "v2"]), st.sampled_from(["v3", "v4"])), min_size=1, max_size=6))
def test_shares_of_a_question_sum_to_one(choices: list[tuple[str, str]]) -> None:
    methods = {"v1": "full", "v2": "theirs", "v3": "theirs", "v4": "full"}
    people = [
        Participant(str(n), {(q, c): methods[v] for q in NAMES for c, v in zip(("c1", "c2"), pair, strict=True)}, 0)
        for n, pair in enumerate(choices)
    ]
    shares = tally(KEY, people).shares
    for name in NAMES:
        assert sum(row[name].mean for row in shares.values()) == pytest.approx(1)
        for row in shares.values():
            low, high = row[name].low, row[name].high
            assert low is None or high is None or 0 <= low <= row[name].mean + 1e-9 <= high + 2e-9


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    paths = written(tmp_path, handed_in("b", "v1", "v3"), handed_in("a", "v1", "v4"), handed_in("c", "v2", "v4"))
    assert tally(KEY, load_participants(KEY, paths)) == tally(KEY, load_participants(KEY, paths[::-1]))


def _set(place: int, **values: Any) -> Edit:
    return lambda answers: answers["clips"][place].update(values)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param(
            lambda a: a.update(study="other"), "answers the study other, and the key is of 5eed", id="foreign"
        ),
        pytest.param(_set(0, clip="c9"), "the clip c9 that the study does not have", id="another clip"),
        pytest.param(_set(1, clip="c1"), "the clip c1 twice", id="a clip twice"),
        pytest.param(_set(0, shown=["v1", "v3"]), "other videos for the clip c1", id="shown another clip's video"),
        pytest.param(_set(0, choices={"temporal": "v3"}), "the video v3 as an answer for the clip c1", id="chose it"),
        pytest.param(_set(0, choices={"beauty": "v1"}), 'the question "beauty"', id="another question"),
        pytest.param(lambda a: a.pop("participant"), "participant: it is missing", id="no participant"),
        pytest.param(lambda a: a.update(version=2), "version: 2 is not a choice", id="a newer format"),
    ],
)
def test_files_that_contradict_the_key_are_named(tmp_path: Path, edit: Edit, message: str) -> None:
    wrong = handed_in("b", "v1", "v4")
    edit(wrong)
    with pytest.raises(RequestError, match=message) as caught:
        count(tmp_path, handed_in("a", "v1", "v4"), wrong)
    assert "1.json" in str(caught.value)
    assert caught.value.fix


def test_two_files_of_one_participant_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"0\.json and .*1\.json are both of the participant a"):
        count(tmp_path, handed_in("a", "v1", "v4"), handed_in("a", "v2", "v4"))


def test_nothing_to_count(tmp_path: Path) -> None:
    empty = handed_in("a", "v1", "v4")
    empty["clips"] = []
    with pytest.raises(RequestError, match="none of 1 participants has answered everything"):
        count(tmp_path, empty)
    with pytest.raises(RequestError, match="cannot be read"):
        load_participants(KEY, [tmp_path / "nowhere.json"])
    (tmp_path / "key.json").write_text(json.dumps(handed_in("a", "v1", "v4")))
    with pytest.raises(RequestError, match=r"key\.json: .*participant"):
        load_key(tmp_path / "key.json")


def test_markdown_is_table_2s_user_study(tmp_path: Path) -> None:
    people = [handed_in(f"p{n}", *(("v1", "v4") if n % 2 else ("v2", "v3"))) for n in range(4)]
    text = markdown(count(tmp_path, *people, handed_in("z", "v1", "v4")))
    assert "| method | TC ↑ | TF ↑ | Leakage ↑ |" in text
    assert "| MIVE, full method | **60.00** [20.0, 100.0] |" in text
    assert "5 participants, 2 clips, so that chance is 50.0." in text


def test_written_files_hold_everything_and_stand_by_themselves(tmp_path: Path) -> None:
    made = count(tmp_path, handed_in("a", "v1", "v4"), handed_in("b", "v1", "v3"))
    paths = write_tally(made, tmp_path / "out")
    assert [path.name for path in paths] == ["tally.json", "tally.md", "tally.svg"]
    data = json.loads(paths[0].read_text())
    assert data == json.loads(json.dumps(to_dict(made)))
    assert data["shares"]["full"]["leakage"] == {"mean": 0.75, "low": 0.5, "high": 1.0, "count": 4}
    assert (data["clips"], data["participants"]) == (["cups", "balls"], ["a", "b"])


def test_the_chart_has_a_bar_for_every_share(tmp_path: Path) -> None:
    made = count(tmp_path, handed_in("a", "v1", "v4"), handed_in("b", "v1", "v3"))
    root = ElementTree.fromstring(chart(made))
    bars = [one for one in root.iter() if one.get("class") == "bar"]
    assert [float(bar.get("width", 0)) for bar in bars] == [165, 55] * 3, "three quarters and one of 220"
    assert sum(one.get("class") == "whisker" for one in root.iter()) == 6
    words = "".join(root.itertext())
    assert "<theirs>" in words
    assert "Cups & balls" in words
