"""Answers that are kept, sent back until they fit, and read as what was asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mive.evaluate.dataset import prompts
from mive.evaluate.dataset.answers import TRIES, Asker, BadAnswer
from mive.evaluate.dataset.captions import draw
from mive.evaluate.dataset.chat import Message
from mive.evaluate.dataset.survey import Region

REGIONS = (
    Region(id=1, value=6000, class_name="person", thing=True, fewest=1),
    Region(id=2, value=8400, class_name="bottle or cup", thing=True, fewest=1),
    Region(id=3, value=16, class_name="grass", thing=False, fewest=0),
)
TAGGED = "<1>a boy</1> drops <2>a cup</2> on <3>wet grass</3>"
FIVE = ["a jar", "a red cup", "a cup of glass", "a vase", "a striped cup"]


class Scripted:
    """A model that says what it is told to, and counts."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[list[Message]] = []

    def answer(self, messages: Sequence[Message]) -> str:
        self.asked.append(list(messages))
        return self.answers.pop(0)


def whole_number(answer: str) -> int:
    if not answer.isdecimal():
        raise BadAnswer(f'"{answer}" is no number')
    return int(answer)


def test_a_bad_answer_goes_back_with_the_reason(tmp_path: Path) -> None:
    chat = Scripted("four", "4")
    assert Asker("m", lambda: chat, tmp_path).ask(Message("user", "2 + 2"), whole_number) == 4
    first, again = chat.asked
    assert first == [Message("user", "2 + 2")]
    assert [turn.role for turn in again] == ["user", "assistant", "user"]
    assert again[1].text == "four"
    assert '"four" is no number' in again[2].text


def test_it_ends_with_the_last_reason(tmp_path: Path) -> None:
    chat = Scripted("a", "b", "c")
    with pytest.raises(BadAnswer, match='"c" is no number'):
        Asker("m", lambda: chat, tmp_path).ask(Message("user", "2 + 2"), whole_number)
    assert len(chat.asked) == TRIES


def test_a_rerun_asks_nothing_and_opens_no_model(tmp_path: Path) -> None:
    chat = Scripted("four", "4", "5", "6")
    Asker("m", lambda: chat, tmp_path).ask(Message("user", "2 + 2"), whole_number)

    def no_model() -> Scripted:
        raise AssertionError("opened")

    assert Asker("m", no_model, tmp_path).ask(Message("user", "2 + 2"), whole_number) == 4
    other_model = Asker("n", lambda: chat, tmp_path)
    assert other_model.ask(Message("user", "2 + 2"), whole_number) == 5
    assert other_model.ask(Message("user", "2 + 2", b"with a picture"), whole_number) == 6


def test_a_damaged_answer_is_asked_for_again(tmp_path: Path) -> None:
    chat = Scripted("4", "5")
    asker = Asker("m", lambda: chat, tmp_path)
    asker.ask(Message("user", "2 + 2"), whole_number)
    [kept] = tmp_path.rglob("*.json")
    kept.write_text("{")
    assert asker.ask(Message("user", "2 + 2"), whole_number) == 5


def test_a_frame_is_asked_about_with_boxes() -> None:
    ids = np.zeros((10, 20), np.uint8)
    ids[2:4, 5:10] = 1
    asked = prompts.describe_frame(ids, REGIONS)
    assert "1. person, box 0.25 0.20 0.50 0.40\n" in asked + "\n"
    assert "bottle or cup" not in asked, "what a frame does not show is not asked for"


@pytest.mark.parametrize(
    ("caption", "ids"),
    [
        ("a boy [1] with a cup [2] and [7]", {1, 2}),
        ("two persons on grass", {1, 3}),
        ("Cups.", {2}),
        ("nothing known", set()),
    ],
)
def test_what_a_caption_includes(caption: str, ids: set[int]) -> None:
    assert prompts.included(caption, REGIONS) == ids


@pytest.mark.parametrize(
    ("caption", "problem"),
    [
        (TAGGED, None),
        (TAGGED.replace("<3>", "").replace("</3>", ""), None),
        (TAGGED.replace("<2>a cup</2>", "a cup"), "0 tags <2>"),
        (TAGGED + " by <1>him</1>", "2 tags <1>"),
        (TAGGED.replace("</2>", ""), "does not pair up"),
        (TAGGED + " <9>x</9>", "<9> is no instance's id"),
        (TAGGED.replace("a cup", "a cup [2]"), "square brackets"),
        (TAGGED + " very" * 60, "more than 60 words"),
        ("", "no text"),
        (7, "no text"),
    ],
)
def test_summaries(caption: object, problem: str | None) -> None:
    answer = f"Sure!\n```json\n{json.dumps({'caption': caption})}\n```"
    if problem is None:
        assert prompts.read_summary(answer, REGIONS) == caption
        return
    with pytest.raises(BadAnswer, match=problem):
        prompts.read_summary(answer, REGIONS)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (FIVE, None),
        (FIVE[:4], "not 5 different"),
        ([*FIVE[:4], "A jar"], "not 5 different"),
        ([*FIVE[:4], "a Cup"], "not 5 different"),
        ([*FIVE[:4], " "], "not 5 different"),
        ([*FIVE[:4], "<2>a vase</2>"], "no short noun phrase"),
        ([*FIVE[:4], "a vase " * 9], "no short noun phrase"),
        ([*FIVE[:4], 5], "no list of texts"),
        ("a jar", "no list of texts"),
    ],
)
def test_candidates(found: object, problem: str | None) -> None:
    answer = json.dumps({"candidates": found})
    if problem is None:
        assert list(prompts.read_candidates(answer, "a cup")) == found
        return
    with pytest.raises(BadAnswer, match=problem):
        prompts.read_candidates(answer, "a cup")


@given(st.text())
def test_no_answer_breaks_the_reading(answer: str) -> None:
    with pytest.raises(BadAnswer):
        prompts.read_candidates(answer, "a cup")


@given(st.integers(0, 2**32), st.text(min_size=1, max_size=9), st.integers(1, 255))
def test_targets_are_drawn_by_seed_clip_and_instance(seed: int, clip: str, number: int) -> None:
    drawn = draw(seed, clip, number, FIVE, ())
    assert drawn in FIVE
    assert draw(seed, clip, number, FIVE, ()) == drawn
    assert draw(seed, clip, number, FIVE, set(FIVE) - {"a vase"}) == "a vase", "no target twice in a clip"
    assert draw(seed, clip, number, FIVE, FIVE) == drawn, "unless there is no other"


def test_another_seed_draws_others() -> None:
    draws = [[draw(seed, f"clip {n}", 1, FIVE, ()) for n in range(30)] for seed in (0, 1)]
    assert draws[0] != draws[1]
    assert set(draws[0]) == set(FIVE)
