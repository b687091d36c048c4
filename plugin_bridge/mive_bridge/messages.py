"""Messages of the link: a type and named fields, as text."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Final

MOST_BYTES: Final = 65536
"""Bytes of a message's text."""

HEAD: Final = struct.Struct("<I")
"""The length that goes before it."""

_WORD: Final = re.compile(r"[a-z0-9_]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ESCAPES: Final = {"%": "%25", "\n": "%0A", "\r": "%0D"}
_CODES: Final = {code: character for character, code in _ESCAPES.items()}


class Malformed(Exception):
    """What arrived is no message; nothing after it can be trusted."""


class Refused(Exception):
    """A request that is not carried out; says why in a sentence."""


@dataclass(frozen=True)
class Message:
    """A request or an answer."""

    type: str
    fields: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A field that must be there.

        Raises:
            Refused: it is not.
        """
        try:
            return self.fields[name]
        except KeyError:
            raise Refused(f'The request "{self.type}" lacks the field "{name}".') from None

    def whole(self, name: str, most: int = 2**63 - 1) -> int:
        """A field that is a number from 0 to ``most``.

        Raises:
            Refused: it is not.
        """
        return whole(self.text(name), name, most)


def whole(text: str, name: str, most: int) -> int:
    """A number of ASCII digits, 0 to ``most``.

    Raises:
        Refused: it is something else.
    """
    if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > most:
        raise Refused(f'The field "{name}" is no whole number from 0 to {most}.')
    return int(text)


def encode(message: Message) -> bytes:
    """The message with its length before it."""
    lines = [message.type, *(f"{name} {escaped(value)}" for name, value in message.fields.items())]
    text = "".join(line + "\n" for line in lines).encode()
    return HEAD.pack(len(text)) + text


def decode(data: bytes) -> Message:
    """The message of that text, without its length.

    Raises:
        Malformed: it is none.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Malformed("the text is not UTF-8") from None
    if not text.endswith("\n"):
        raise Malformed("the last line has no end")
    kind, *lines = text[:-1].split("\n")
    if not _WORD.fullmatch(kind):
        raise Malformed("the type is no word")
    fields: dict[str, str] = {}
    for line in lines:
        name, blank, value = line.partition(" ")
        if not blank or not _WORD.fullmatch(name) or name in fields or _CONTROL.search(value):
            raise Malformed("a field is malformed")
        fields[name] = _unescaped(value)
    return Message(kind, fields)


def escaped(text: str) -> str:
    """A value as it stands in messages and names."""
    return re.sub("[%\n\r]", lambda found: _ESCAPES[found[0]], text)


def plain(text: str, most: int) -> str:
    """The text without control characters, cut to so many bytes of UTF-8."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line.encode(errors="replace")[:most].decode(errors="ignore")


def _unescaped(value: str) -> str:
    def character(found: re.Match[str]) -> str:
        if found[0] not in _CODES:
            raise Malformed("an escape is unknown")
        return _CODES[found[0]]

    return re.sub("%.{0,2}", character, value)
