"""What is wrong in a review file, by line, and what its sound clips say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from pydantic_core import PydanticCustomError

from mive.base.validation import did_you_mean
from mive.errors import RequestError
from mive.evaluate.bench.suite import ClipDescription, SuiteInstance
from mive.evaluate.bench.tags import tagged_ids, tagged_words
from mive.evaluate.dataset.clips import MATTES, SOURCE
from mive.evaluate.dataset.review import CAPTION, UNCHANGED, Row

OK, DROP = "ok", "drop"
_STATES: Final = (OK, DROP)


@dataclass(frozen=True)
class Problem:
    """A mistake in a review file.

    Attributes:
        line: where it is, from 1; 0 where it is in the clip's pictures.
        clip: the clip's name.
        instance: the instance's id; None where the whole clip is meant.
        what: what is wrong.
        fix: what to do.
    """

    line: int
    clip: str
    instance: str | None
    what: str
    fix: str

    def __str__(self) -> str:
        who = f"{self.clip}, instance {self.instance}" if self.instance else self.clip
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{who}: {self.what}. {self.fix}."


@dataclass(frozen=True)
class Checked:
    """What a file says of one clip.

    Attributes:
        name: the clip's name.
        rows: its rows.
        dropped: whether it is to be left out.
        reviewed: whether a person has seen it.
        problems: why it cannot be used yet.
    """

    name: str
    rows: tuple[Row, ...]
    dropped: bool
    reviewed: bool
    problems: tuple[Problem, ...]

    def described(self) -> ClipDescription:
        """The clip as the suite has it; only where there are no problems."""
        caption = next(row.text for row in self.rows if row.id == CAPTION)
        words = tagged_words(caption)
        instances = tuple(
            SuiteInstance(
                id=int(row.id),
                source_caption=words.get(int(row.id), row.class_name),
                caption="" if row.text == UNCHANGED else row.text,
                class_name=row.class_name,
            )
            for row in self.rows
            if row.id != CAPTION
        )
        return ClipDescription(source=SOURCE, mattes=MATTES, global_caption=caption, instances=instances)


def check_rows(rows: Sequence[Row]) -> list[Checked]:
    """All clips of a file with all that is wrong in them, in the file's order."""
    by_clip = groupby(sorted(rows, key=lambda row: row.clip), key=lambda row: row.clip)
    checked = [_check_clip(name, tuple(own)) for name, own in by_clip]
    return sorted(checked, key=lambda one: one.rows[0].line)


def caption_problems(rows: Sequence[Row]) -> list[Problem]:
    """What keeps a clip from having targets written for it: rows that cannot be read, or tags that are wrong."""
    return [*_row_problems(rows)] or [*_caption_problems(rows)]


def _check_clip(name: str, rows: tuple[Row, ...]) -> Checked:
    state = next((row.review for row in rows if row.id == CAPTION), "")
    if state == DROP:
        return Checked(name, rows, True, True, ())
    problems = [*_row_problems(rows)] or [*_caption_problems(rows), *_target_problems(rows)]
    problems.sort(key=lambda one: one.line)
    checked = Checked(name, rows, False, state == OK, tuple(problems))
    if problems:
        return checked
    try:
        checked.described()
    except RequestError as error:
        found = Problem(rows[0].line, name, None, error.what, error.fix.rstrip("."))
        return Checked(name, rows, False, state == OK, (found,))
    return checked


def _row_problems(rows: Sequence[Row]) -> Iterator[Problem]:
    """Rows that cannot be told apart or understood."""
    seen: set[str] = set()
    for row in rows:
        instance = row.id if row.id != CAPTION else None
        at = (row.line, row.clip or "(no clip)", instance)
        if not row.clip:
            yield Problem(*at, "the row has no clip", "Write the clip's name in the first column, or remove the row")
        if row.id != CAPTION and not (row.id.isdecimal() and row.id.isascii() and int(row.id)):
            fix = did_you_mean(row.id, [CAPTION]) or "Put the instance's number back"
            yield Problem(*at, f'the id "{row.id}" is neither "{CAPTION}" nor a whole number from 1', fix)
        elif row.id in seen:
            yield Problem(*at, "the id is there twice", "Remove one of the rows")
        seen.add(row.id)
        if row.more:
            yield Problem(*at, f'there is a cell too many: "{row.more[0]}"', "Take the tab out of the text")
        if "\n" in row.text or "\r" in row.text:
            yield Problem(*at, "the text has several lines, or a quote is not closed", "Write it in one line")
        if row.review and (row.id != CAPTION or row.review not in _STATES):
            fix = did_you_mean(row.review, _STATES) or f'Write "{OK}" or "{DROP}" into the row "{CAPTION}", or nothing'
            yield Problem(*at, f'the review "{row.review}" is not understood here', fix)
    if CAPTION not in seen:
        fix = f'Put the row "{CAPTION}" back, or remove all rows of the clip to have them made again'
        yield Problem(rows[0].line, rows[0].clip, None, f'there is no row "{CAPTION}"', fix)


def _caption_problems(rows: Sequence[Row]) -> Iterator[Problem]:
    row = next(row for row in rows if row.id == CAPTION)
    if not row.text:
        fix = (
            'Describe the clip, each instance in tags as in "<1>a red ball</1> on grass", or build with --vlm and --llm'
        )
        yield Problem(row.line, row.clip, None, "there is no caption", fix)
        return
    try:
        tags = tagged_ids(row.text)
    except PydanticCustomError as error:
        told = error.context or {}
        yield Problem(row.line, row.clip, None, str(told["what"]), str(told["fix"]))
        return
    known = {one.id: one for one in rows if one.id != CAPTION}
    for number in dict.fromkeys(map(str, tags)):
        if number not in known:
            fix = f"Correct the tag; the clip has {', '.join(known)}"
            yield Problem(row.line, row.clip, number, f"its tag <{number}> is no instance's", fix)
    for number, one in known.items():
        count = tags.count(int(number))
        if one.text != UNCHANGED and count != 1:
            fix = f"Put its words in line {row.line} between <{number}> and </{number}> once"
            fix += f', or write "{UNCHANGED}" here to leave it as it is' * (count == 0)
            yield Problem(one.line, one.clip, number, f"the caption has {count} tags <{number}>", fix)


def _target_problems(rows: Sequence[Row]) -> Iterator[Problem]:
    caption = next(row.text for row in rows if row.id == CAPTION)
    words = tagged_words(caption)
    for row in rows:
        if row.id == CAPTION or row.text == UNCHANGED:
            continue
        at = (row.line, row.clip, row.id)
        if not row.text:
            fix = f'Write one, or "{UNCHANGED}" to leave the instance as it is, or build with --llm'
            yield Problem(*at, "there is no target", fix)
        elif set(row.text) & set("<>"):
            yield Problem(*at, "the target has tags in it", "Write the words only; tags belong in the caption")
        elif row.text.casefold() == words.get(int(row.id), "").casefold():
            yield Problem(*at, f'the target "{row.text}" is what it is already', "Write another")
