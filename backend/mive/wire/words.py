"""Words and enum values, and messages that hold more than this version knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from mive.errors import RequestError
from mive.v1 import media_pb2

EnumDescriptor = Any
"""Protobuf's implementations have one each, without a type in common."""

PIXEL_FORMAT: EnumDescriptor = media_pb2.DESCRIPTOR.enum_types_by_name["PixelFormat"]
_UNSPECIFIED = "UNSPECIFIED"
_Word = TypeVar("_Word", bound=str)


def word_of(kind: EnumDescriptor, number: int) -> str | None:
    """MIVE's word for an enum value: ``FLOW_ATTENTION_OLD_QK`` is ``"old_qk"``, UNSPECIFIED is None.

    A number this version does not know gives a text that no field takes for a word.
    """
    if number == 0:
        return None
    value = kind.values_by_number.get(number)
    return f"value {number}" if value is None else value.name.removeprefix(_prefix(kind)).lower()


def known_word(kind: EnumDescriptor, number: int, words: Iterable[_Word]) -> _Word | None:
    """The one of ``words`` that an enum value stands for, if any."""
    found = word_of(kind, number)
    return next((word for word in words if word == found), None)


def number_of(kind: EnumDescriptor, word: str) -> int:
    """The enum value for one of MIVE's words; the other way round from :func:`word_of`.

    Raises:
        KeyError: the contract has no such word.
    """
    return int(kind.values_by_name[_prefix(kind) + word.upper()].number)


def _prefix(kind: EnumDescriptor) -> str:
    """``FLOW_ATTENTION_`` of ``FLOW_ATTENTION_UNSPECIFIED``."""
    return str(kind.values_by_number[0].name).removesuffix(_UNSPECIFIED)


def fill(message: Message, values: Mapping[str, object], at: str = "") -> None:
    """Sets scalar fields by name, enums by their words; what is None stays unset.

    Args:
        at: path of the message in the request, for errors.

    Raises:
        RequestError: a value cannot travel: a number is too large, or a text is not Unicode.
    """
    for name, value in values.items():
        if value is None:
            continue
        kind = message.DESCRIPTOR.fields_by_name[name].enum_type
        try:
            setattr(message, name, value if kind is None else number_of(kind, str(value)))
        except (ValueError, TypeError) as error:
            raise RequestError(
                f"the value cannot be sent: {_shown(value)}",
                expected="a number below 2^32 (a seed: 2^63), or text in Unicode",
                fix="Choose a smaller number, or rename the file",
                field=joined(at, name),
            ) from error


def values_of(message: Message) -> dict[str, Any]:
    """The scalar fields that are set, by name, enums as words; the other way round from :func:`fill`.

    Fields that cannot be unset are always there.
    """
    values: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None or field.is_repeated:
            continue
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if field.enum_type is not None:
            value = word_of(field.enum_type, value)
        if value is not None:
            values[field.name] = value
    return values


def refuse_unknown(message: Message, at: str = "") -> None:
    """Refuses a message that holds fields of a newer contract, however deep.

    Raises:
        RequestError: there is one. Ignoring it would make another edit than was asked for.
    """
    unknown = UnknownFieldSet(message)
    if len(unknown):
        raise RequestError(
            f"field {unknown[0].field_number} of {message.DESCRIPTOR.name} is not known here",
            expected="fields of this server's version of the contract",
            fix="Leave it out, or use a server as new as the client",
            field=at or None,
        )
    for field, value in message.ListFields():
        # A map's entries are pairs that the contract cannot add to.
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        path = joined(at, field.name)
        if field.is_repeated:
            for index, item in enumerate(value):
                refuse_unknown(item, f"{path}[{index}]")
        else:
            refuse_unknown(value, path)


def joined(at: str, name: str) -> str:
    """The path of a field below another."""
    return f"{at}.{name}" if at else name


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
