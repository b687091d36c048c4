"""Captions of a whole frame in which each instance's words stand between tags: ``<2>a blue ball</2>``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from mive.base.validation import reject

_TAG: Final = re.compile(r"<(/?)([0-9]+)>")
_TAGGED: Final = re.compile(r"<([0-9]+)>(.*?)</\1>")


def plain(caption: str) -> str:
    """The caption without its tags."""
    return _TAG.sub("", caption)


def filled(caption: str, words: Mapping[int, str]) -> str:
    """The caption without its tags, each instance of ``words`` told in those words instead (Supp. C.1)."""
    return _TAGGED.sub(lambda match: words.get(int(match[1]), match[2]), caption)


def tagged_words(caption: str) -> dict[int, str]:
    """What stands between the tags, by id."""
    return {int(number): words.strip() for number, words in _TAGGED.findall(caption)}


def tagged_ids(caption: str) -> tuple[int, ...]:
    """The ids of the tags, in order; for validators.

    Refuses tags that are not opened and closed in pairs, lie within each other, or hold no words.
    """
    ids: list[int] = []
    opened: int | None = None
    start = 0
    for match in _TAG.finditer(caption):
        closes, number = match[1] == "/", int(match[2])
        if closes != (opened is not None) or (closes and number != opened):
            _refuse(f"the tag {match[0]} at character {match.start()} does not pair up")
        if closes and not caption[start : match.start()].strip():
            _refuse(f"there are no words between <{number}> and </{number}>")
        opened, start = (None if closes else number), match.end()
        if closes:
            ids.append(number)
    if opened is not None:
        _refuse(f"the tag <{opened}> is never closed")
    return tuple(ids)


def _refuse(what: str) -> None:
    reject(what, expected="each instance's words between its own tags", fix='Write it as "<1>a red ball</1> on grass"')
