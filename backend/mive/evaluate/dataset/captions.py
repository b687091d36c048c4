"""A clip's captions from the two models: frames described, one summarised with tags, targets proposed (Supp. C.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Final

import cv2
import numpy as np

from mive.evaluate.dataset import prompts
from mive.evaluate.dataset.answers import Asker, BadAnswer
from mive.evaluate.dataset.chat import Message
from mive.evaluate.dataset.survey import Survey, centre
from mive.evaluate.dataset.vipseg import Video

_JPEG_QUALITY: Final = 92


def representative(video: Video, known: Survey, vlm: Asker) -> str:
    """Of all frames' captions the first that speaks of the most instances; empty where there is none.

    Raises:
        MediaError: a frame cannot be read.
        MiveError: the model cannot be asked.
    """
    best, most = "", -1
    for number in range(len(video)):
        question = prompts.describe_frame(known.ids(centre(video.mask(number))), known.regions)
        try:
            caption = vlm.ask(Message("user", question, _jpeg(video, number)), prompts.read_caption)
        except BadAnswer:
            continue
        count = len(prompts.included(caption, known.things))
        if count > most:
            best, most = caption, count
    return best


def summary(description: str, known: Survey, llm: Asker) -> str:
    """A description as one sentence with the instances' tags.

    Raises:
        BadAnswer: the model gave none with the right tags.
        MiveError: it cannot be asked.
    """
    question = Message("user", prompts.summarise(description, known.regions))
    return llm.ask(question, lambda answer: prompts.read_summary(answer, known.regions))


def candidates(words: str, caption: str, llm: Asker) -> tuple[str, ...]:
    """Five things that an instance could become.

    Args:
        words: what it is.
        caption: the whole clip's, without tags.

    Raises:
        BadAnswer: the model gave no five that can be used.
        MiveError: it cannot be asked.
    """
    question = Message("user", prompts.retarget(words, caption))
    return llm.ask(question, lambda answer: prompts.read_candidates(answer, words))


def draw(seed: int, clip: str, number: int, proposed: Sequence[str], taken: Collection[str]) -> str:
    """One of an instance's candidates, if possible none that another instance of the clip has.

    Args:
        seed: another gives others.
        clip, number: the clip's name and the instance's id; each draw is its own, so that what else is in the
            data set does not change it.
    """
    name = int.from_bytes(hashlib.sha256(clip.encode()).digest()[:8], "big")
    free = [one for one in proposed if one not in taken] or list(proposed)
    return free[int(np.random.default_rng([seed, name, number]).integers(len(free)))]


def _jpeg(video: Video, number: int) -> bytes:
    pixels = cv2.cvtColor(np.ascontiguousarray(centre(video.image(number))), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return data.tobytes()
