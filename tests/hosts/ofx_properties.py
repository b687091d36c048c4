"""Property sets and the property suite."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from tests.hosts import ofx_abi


class Refused(Exception):
    """What a suite function answers instead of OK."""

    def __init__(self, status: int) -> None:
        self.status = status


class Handles:
    """Numbers that a plugin holds instead of objects. One that was given back is never valid again."""

    def __init__(self) -> None:
        self._objects: dict[int, Any] = {}
        self._next = 0x1000

    def new(self, thing: Any) -> int:
        self._next += 16
        self._objects[self._next] = thing
        return self._next

    def find(self, handle: int | None, kind: type) -> Any:
        thing = self._objects.get(handle or 0)
        if thing is None or not isinstance(thing, kind):
            raise Refused(ofx_abi.BAD_HANDLE)
        return thing

    def drop(self, handle: int) -> None:
        del self._objects[handle]

    def all(self, kind: type) -> list[Any]:
        return [thing for thing in list(self._objects.values()) if isinstance(thing, kind)]


class PropertySet:
    """Properties by name, each a list of str, int, float or pointers."""

    def __init__(self, handles: Handles, values: Mapping[str, Any] | None = None) -> None:
        self.values: dict[str, list[Any]] = {}
        self._texts: dict[str, ctypes.Array[ctypes.c_char]] = {}
        self._handles = handles
        self.handle = handles.new(self)
        for name, value in (values or {}).items():
            self.values[name] = list(value) if isinstance(value, list | tuple) else [value]

    def get(self, name: str, index: int = 0) -> Any:
        values = self.values.get(name)
        if values is None:
            raise Refused(ofx_abi.UNKNOWN)
        if not 0 <= index < len(values):
            raise Refused(ofx_abi.BAD_INDEX)
        return values[index]

    def set(self, name: str, index: int, value: Any) -> None:
        values = self.values.setdefault(name, [])
        if not 0 <= index <= len(values):
            raise Refused(ofx_abi.BAD_INDEX)
        values[index : index + 1] = [value]

    def __enter__(self) -> PropertySet:
        return self

    def __exit__(self, *_: object) -> None:
        self._handles.drop(self.handle)

    def address_of(self, text: str) -> int:
        """Where the text lies in memory for as long as this set lives."""
        buffer = self._texts.setdefault(text, ctypes.create_string_buffer(text.encode()))
        return ctypes.addressof(buffer)


class PropertySuite:
    """The functions of the suite, but those for several pointers or strings at once."""

    def __init__(self, handles: Handles) -> None:
        self._handles = handles

    def _set(self, handle: int, name: bytes, index: int, value: Any) -> None:
        self._handles.find(handle, PropertySet).set(name.decode(), index, value)

    def _get(self, handle: int, name: bytes, index: int, kind: type) -> Any:
        value = self._handles.find(handle, PropertySet).get(name.decode(), index)
        if not isinstance(value, kind):
            raise Refused(ofx_abi.VALUE)
        return value

    propSetPointer = propSetInt = propSetDouble = _set

    def propSetString(self, handle: int, name: bytes, index: int, value: bytes) -> None:
        self._set(handle, name, index, value.decode())

    def propGetPointer(self, handle: int, name: bytes, index: int, value: Any) -> None:
        value[0] = self._get(handle, name, index, int)

    def propGetString(self, handle: int, name: bytes, index: int, value: Any) -> None:
        text = self._get(handle, name, index, str)
        value[0] = self._handles.find(handle, PropertySet).address_of(text)

    def propGetDouble(self, handle: int, name: bytes, index: int, value: Any) -> None:
        value[0] = self._get(handle, name, index, float)

    def propGetInt(self, handle: int, name: bytes, index: int, value: Any) -> None:
        value[0] = self._get(handle, name, index, int)

    def propGetDoubleN(self, handle: int, name: bytes, count: int, value: Any) -> None:
        for index in range(count):
            value[index] = self._get(handle, name, index, float)

    def propGetIntN(self, handle: int, name: bytes, count: int, value: Any) -> None:
        for index in range(count):
            value[index] = self._get(handle, name, index, int)

    def propReset(self, handle: int, name: bytes) -> None:
        self._handles.find(handle, PropertySet).values.pop(name.decode(), None)

    def propGetDimension(self, handle: int, name: bytes, count: Any) -> None:
        count[0] = len(self._handles.find(handle, PropertySet).values.get(name.decode(), []))
