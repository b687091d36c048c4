"""What a model that answers messages is to the rest: local, or behind an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

MOST_TOKENS = 600
"""Of an answer; the longest that is asked for has about a hundred words."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: who speaks.
        text: what is said.
        image: a JPEG file that the text is about.
    """

    role: Literal["user", "assistant"]
    text: str
    image: bytes | None = None


class Chat(Protocol):
    """A model that answers."""

    def answer(self, messages: Sequence[Message]) -> str:
        """What the model says next; the likeliest words rather than drawn ones.

        Raises:
            MiveError: it cannot be asked.
        """
