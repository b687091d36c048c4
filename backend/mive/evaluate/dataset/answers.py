"""Answers that are kept by what was asked, and asked for again until they fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from mive.base.atomic import write_text
from mive.evaluate.dataset.chat import MOST_TOKENS, Chat, Message

TRIES: Final = 3
"""How often a model is asked for an answer that fits."""

_Value = TypeVar("_Value")


class BadAnswer(Exception):
    """An answer does not fit; the text says why, to the model and to the person who reviews."""


class Asker:
    """Asks one model, and keeps every answer, so that a rerun asks nothing twice.

    Args:
        name: the model's name, which answers are kept under.
        opened: opens the model; called once there is something to ask.
        folder: where answers are kept, shared by all models.
    """

    def __init__(self, name: str, opened: Callable[[], Chat], folder: Path) -> None:
        self._name = name
        self._open = opened
        self._chat: Chat | None = None
        self._folder = folder

    def ask(self, message: Message, read: Callable[[str], _Value]) -> _Value:
        """The answer, as ``read`` takes it; one that does not fit is sent back with the reason.

        Args:
            message: the question.
            read: turns an answer into a value, or raises `BadAnswer`.

        Raises:
            BadAnswer: no answer fitted; the last one's reason.
            MiveError: the model cannot be asked.
        """
        talk = [message]
        for left in reversed(range(TRIES)):
            said = self._answer(talk)
            try:
                return read(said)
            except BadAnswer as error:
                if not left:
                    raise
                again = Message("user", f"That answer cannot be used: {error}. Answer again, and only in that form.")
                talk += [Message("assistant", said), again]
        raise AssertionError

    def _answer(self, talk: Sequence[Message]) -> str:
        asked = [
            (one.role, one.text, hashlib.sha256(one.image).hexdigest() if one.image is not None else None)
            for one in talk
        ]
        key = hashlib.sha256(json.dumps([self._name, MOST_TOKENS, asked]).encode()).hexdigest()
        path = self._folder / key[:2] / f"{key}.json"
        try:
            return str(json.loads(path.read_bytes())["answer"])
        except (OSError, ValueError, LookupError, TypeError):
            self._chat = self._chat or self._open()
            said = self._chat.answer(talk)
            write_text(path, json.dumps({"model": self._name, "answer": said}, ensure_ascii=False) + "\n")
            return said
