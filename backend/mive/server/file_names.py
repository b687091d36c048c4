"""The names that clients give to uploaded files, checked so that they are safe as names on the server's disk."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from typing import Final

from mive.errors import RequestError
from mive.media.sequence import IMAGE_SUFFIXES
from mive.v1 import media_pb2

_BYTES: Final = 255
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,8}")


def check_names(message: media_pb2.UploadedFiles, most: int, at: str) -> list[str]:
    """The names of files that belong together, in their order.

    Args:
        most: how many files are allowed.
        at: path of the message in the request.

    Raises:
        RequestError: a name is no plain name of a file, two are the same on some file systems, or several files are
            not all images.
    """
    if not 1 <= len(message.files) <= most:
        raise _wrong(f"{at}.files", f"{len(message.files)} files", f"1 to {most}")
    seen: dict[str, int] = {}
    for index, file in enumerate(message.files):
        field = f"{at}.files[{index}].name"
        if problem := _problem(file.name):
            raise _wrong(field, f"the name {_shown(file.name)} {problem}", 'a name such as "shot.0101.exr"')
        if len(message.files) > 1 and PurePosixPath(file.name).suffix.lower() not in IMAGE_SUFFIXES:
            raise _wrong(field, f"{_shown(file.name)} is one of several files, and no image", "one video, or images")
        # Not every file system tells cases and ways to write an accent apart.
        first = seen.setdefault(unicodedata.normalize("NFC", file.name).casefold(), index)
        if first != index:
            raise _wrong(field, f"files[{first}] has the name {_shown(file.name)} too", "different names")
    return [file.name for file in message.files]


def _problem(name: str) -> str:
    if "/" in name or "\\" in name:
        return "has folders in it"
    if name.startswith("."):
        return "begins with a dot"
    if not name.isprintable():
        return "has characters in it that cannot be printed"
    if len(name.encode("utf-8", "replace")) > _BYTES:
        return f"is longer than {_BYTES} bytes"
    if not _SUFFIX.fullmatch(PurePosixPath(name).suffix):
        return "has no suffix that says what the file is"
    return ""


def _shown(name: str) -> str:
    text = ascii(name)
    return text if len(text) <= 60 else text[:57] + "..."


def _wrong(field: str, what: str, expected: str) -> RequestError:
    return RequestError(what, expected=expected, fix="Rename the files, or send fewer", field=field)
