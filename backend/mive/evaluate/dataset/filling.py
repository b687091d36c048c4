"""Fills the blanks of a clip's rows in the review file by asking the models."""

from __future__ import annotations

from collections.abc import Sequence

from mive.evaluate.bench.tags import plain, tagged_words
from mive.evaluate.dataset import captions
from mive.evaluate.dataset.answers import Asker, BadAnswer
from mive.evaluate.dataset.checking import caption_problems
from mive.evaluate.dataset.review import CAPTION, UNCHANGED, Row, filled
from mive.evaluate.dataset.survey import Survey
from mive.evaluate.dataset.vipseg import Video


def fill(
    rows: Sequence[Row], video: Video, known: Survey, seed: int, vlm: Asker | None, llm: Asker | None
) -> list[Row]:
    """The rows with a caption where there was none, and with targets once the caption has its tags.

    What is not blank stays, so that a person's words are never written over. What a model cannot be made to say is
    noted in the row and stays for a person.

    Args:
        seed: what targets are drawn by.

    Raises:
        MediaError: a frame cannot be read.
        MiveError: a model cannot be asked.
    """
    made = [
        _captioned(row, video, known, vlm, llm) if row.id == CAPTION and not row.text and vlm and llm else row
        for row in rows
    ]
    if caption_problems(made):
        return made
    caption = next(row.text for row in made if row.id == CAPTION)
    words, scene = tagged_words(caption), plain(caption)
    for place, row in enumerate(made):
        if row.id == CAPTION or row.text:
            continue
        taken = {other.text for other in made if other.text != UNCHANGED}
        made[place] = _targeted(row, words[int(row.id)], scene, seed, taken, llm)
    return made


def _captioned(row: Row, video: Video, known: Survey, vlm: Asker, llm: Asker) -> Row:
    seen = captions.representative(video, known, vlm)
    if not seen:
        return filled(row, note="the vision model described no frame")
    try:
        return filled(row, captions.summary(seen, known, llm))
    except BadAnswer as error:
        # The description helps whoever puts the tags in.
        return filled(row, seen, f"no summary with all tags: {error}")


def _targeted(row: Row, words: str, scene: str, seed: int, taken: set[str], llm: Asker | None) -> Row:
    proposed = row.candidates
    if not proposed and llm:
        try:
            proposed = captions.candidates(words, scene, llm)
        except BadAnswer as error:
            return filled(row, note=f"no candidates: {error}")
    if not proposed:
        return row
    return filled(row, captions.draw(seed, row.clip, int(row.id), proposed, taken), candidates=proposed)
