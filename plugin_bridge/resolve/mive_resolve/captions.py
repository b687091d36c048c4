"""Captions as they are written in the dialog, by the rules of the OpenFX plugin's."""

from __future__ import annotations

import re

from mive_resolve.refusal import Refusal

MOST_INSTANCES = 64
MOST_BYTES = 400
HIGHEST_ID = 65535
_EXAMPLE = 'Write "id: caption", such as "1: a red ball"'


def parse_captions(text: str) -> dict[int, str]:
    """Reads one ``id: caption`` a line. Blank lines are skipped, spaces around ids and captions too.

    Returns:
        Captions by id, in the order written: later ones lie on top.

    Raises:
        Refusal: a line is of another form.
    """
    captions: dict[int, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, colon, caption = (part.strip() for part in line.partition(":"))
        if not colon:
            raise _wrong(number, "there is no colon")
        if not re.fullmatch("[1-9][0-9]{0,4}", name) or int(name) > HIGHEST_ID:
            raise _wrong(number, f'"{name[:40]}" is no id from 1 to {HIGHEST_ID}')
        if not caption:
            raise _wrong(number, f"instance {name} has no caption")
        if len(caption.encode()) > MOST_BYTES:
            raise _wrong(number, "the caption is too long", f"Use at most {MOST_BYTES} bytes")
        if not caption.isprintable():
            raise _wrong(number, "the caption holds control characters", "Type it again")
        if int(name) in captions:
            raise _wrong(number, f"instance {name} has a caption already", "Remove one of them")
        captions[int(name)] = caption
    if not captions:
        raise Refusal("There are no captions", _EXAMPLE)
    if len(captions) > MOST_INSTANCES:
        raise Refusal(f"There are {len(captions)} instances", f"Use at most {MOST_INSTANCES}")
    return captions


def _wrong(number: int, what: str, fix: str = _EXAMPLE) -> Refusal:
    return Refusal(f"Captions, line {number}: {what}", fix)
