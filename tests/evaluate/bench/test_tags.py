"""Tagged captions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from mive.evaluate.bench.tags import filled, plain, tagged_ids, tagged_words

WORDS = st.text("abc <1/", min_size=1).filter(lambda text: "<1" not in text and "</1" not in text and text.strip())


def test_the_targets_caption_is_the_sources_in_other_words() -> None:
    caption = "<1>A boy</1> throws <2>a ball</2> over <30>a fence</30>."
    assert plain(caption) == "A boy throws a ball over a fence."
    assert filled(caption, {1: "an alien", 30: "a hedge"}) == "an alien throws a ball over a hedge."
    assert tagged_ids(caption) == (1, 2, 30)
    assert tagged_words(caption) == {1: "A boy", 2: "a ball", 30: "a fence"}


@given(st.lists(WORDS, min_size=1, max_size=5), st.lists(WORDS, min_size=5, max_size=5))
def test_whatever_the_words_they_are_found_again(words: list[str], others: list[str]) -> None:
    caption = " and ".join(f"<{id}>{text}</{id}>" for id, text in enumerate(words, start=1))
    assert plain(caption) == " and ".join(words)
    assert tagged_ids(caption) == tuple(range(1, len(words) + 1))
    new = dict(enumerate(others[: len(words)], start=1))
    assert filled(caption, new) == " and ".join(new.values())


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("<1>a ball", "<1> is never closed"),
        ("a ball</1>", "</1> at character 6"),
        ("<1>a <2>ball</2></1>", "<2> at character 5"),
        ("<1>a ball</2>", "</2> at character 9"),
        ("<1> </1> on grass", "no words between <1>"),
    ],
)
def test_tags_that_do_not_pair_up(caption: str, message: str) -> None:
    with pytest.raises(PydanticCustomError, match=message):
        tagged_ids(caption)
