"""What the models are asked, and what an answer must be (Supp. C.1, Fig. 8)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mive.errors import RequestError
from mive.evaluate.bench.suite import ClipDescription, SuiteInstance
from mive.evaluate.dataset.answers import BadAnswer
from mive.evaluate.dataset.survey import Region

CANDIDATES: Final = 5
"""Target captions that are made for an instance."""

MOST_WORDS: Final = 60
"""Of a clip's caption; CLIP reads 77 tokens."""

_MOST_TARGET_WORDS: Final = 12
_NUMBER: Final = re.compile(r"\[([0-9]+)\]")


def describe_frame(ids: NDArray[np.uint8], regions: Sequence[Region]) -> str:
    """Asks for a frame's caption in which every object has its number.

    Args:
        ids: ``[H, W]`` the suite's ids in this frame.
        regions: what the clip shows.
    """
    return (
        "Describe the scene of this picture in one or two plain sentences. Name each of the objects below in your own "
        "words (what it is, its colour or material, what it does), and right after an object's words write its number "
        "in square brackets, as in: a boy in a red coat [1] throws a ball [2]. Boxes are left, top, right, bottom, as "
        f"shares of the picture.\n{_listed(regions, ids)}"
    )


def summarise(caption: str, regions: Sequence[Region]) -> str:
    """Asks for a short caption with tags."""
    things = ", ".join(str(region.id) for region in regions if region.thing)
    return (
        f"Summarise this description of a video in one sentence of at most {MOST_WORDS // 2} words. Put each object's "
        "words, with its article and adjectives, between its own tags, as in: <1>a boy in a red coat</1> throws "
        f"<2>a ball</2>. Each of the objects {things} stands in the sentence exactly once; the others may be left "
        f"out. Tags do not lie within each other, and no number in square brackets is left.\nDescription: {caption}\n"
        f"Objects:\n{_listed(regions)}\n"
        'Answer with JSON only: {"caption": "..."}'
    )


def retarget(words: str, caption: str) -> str:
    """Asks for what an instance could become.

    Args:
        words: what it is.
        caption: the whole clip's, without tags.
    """
    return (
        f'In a video that shows: "{caption}", the object "{words}" is to be edited. Write {CANDIDATES} different '
        "things that it could become: some swap it for another object of about its size and shape, the others "
        "retexture it, which keeps the object and changes its colour, material or pattern. Each is a noun phrase of "
        "at most six words with an article, such as: an alien; a yellow ball. "
        f'Answer with JSON only: {{"candidates": [{", ".join(["..."] * CANDIDATES)}]}}'
    )


def read_caption(answer: str) -> str:
    """A frame's caption, on one line."""
    caption = " ".join(answer.split())
    if not caption:
        raise BadAnswer("it is empty")
    return caption


def included(caption: str, regions: Sequence[Region]) -> frozenset[int]:
    """The ids of the regions that a frame's caption speaks of, by number or, where there are no numbers, by class."""
    numbers = {int(number) for number in _NUMBER.findall(caption)}
    if numbers:
        return frozenset(numbers & {region.id for region in regions})
    words = set(re.findall(r"[a-z]+", caption.lower()))
    words |= {word.removesuffix("s") for word in words}
    return frozenset(region.id for region in regions if words & set(region.class_name.split(" or ")))


def read_summary(answer: str, regions: Sequence[Region]) -> str:
    """The tagged caption of an answer to `summarise`.

    Raises:
        BadAnswer: it is of another form, too long, or its tags are not the instances'.
    """
    caption = _field(answer, "caption")
    if not isinstance(caption, str) or not caption.strip():
        raise BadAnswer('"caption" is no text')
    caption = " ".join(caption.split())
    if len(caption.split()) > MOST_WORDS:
        raise BadAnswer(f"the caption has more than {MOST_WORDS} words")
    if _NUMBER.search(caption):
        raise BadAnswer("there are numbers in square brackets")
    instances = tuple(
        SuiteInstance(id=region.id, source_caption=region.class_name, caption="-" if region.thing else "")
        for region in regions
    )
    try:
        ClipDescription(source="-", mattes="-", global_caption=caption, instances=instances)
    except RequestError as error:
        raise BadAnswer(f"{error.what} (expected {error.expected})") from error
    return caption


def read_candidates(answer: str, words: str) -> tuple[str, ...]:
    """The five target captions of an answer to `retarget`.

    Raises:
        BadAnswer: they are not five, not different, too long, or what the instance is already.
    """
    found = _field(answer, "candidates")
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise BadAnswer('"candidates" is no list of texts')
    cleaned = tuple(" ".join(one.split()).rstrip(".") for one in found)
    different = {one.casefold() for one in cleaned} - {"", words.casefold()}
    if len(cleaned) != CANDIDATES or len(different) != CANDIDATES:
        raise BadAnswer(f'there are not {CANDIDATES} different captions, none of them "{words}"')
    for one in cleaned:
        if len(one.split()) > _MOST_TARGET_WORDS or set(one) & set("<>"):
            raise BadAnswer(f'"{one[:80]}" is no short noun phrase')
    return cleaned


def _listed(regions: Sequence[Region], ids: NDArray[np.uint8] | None = None) -> str:
    """The objects, one a line, with their boxes if a frame is given."""
    lines = []
    for region in regions:
        line = f"{region.id}. {region.class_name}"
        if ids is not None:
            left, top, width, height = cv2.boundingRect((ids == region.id).astype(np.uint8))
            if not width:
                continue
            across, down = ids.shape[1], ids.shape[0]
            box = (left / across, top / down, (left + width) / across, (top + height) / down)
            line += f", box {' '.join(f'{edge:.2f}' for edge in box)}"
        lines.append(line)
    return "\n".join(lines)


def _field(answer: str, name: str) -> Any:
    """A field of the JSON object in an answer, which may stand within other words."""
    start, end = answer.find("{"), answer.rfind("}")
    try:
        return json.loads(answer[start : end + 1])[name]
    except (ValueError, LookupError, TypeError) as error:
        raise BadAnswer(f'it is no JSON object with the field "{name}"') from error
