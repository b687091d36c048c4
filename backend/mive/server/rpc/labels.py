"""Labels of jobs as clients give them: what a job is called and belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from mive.errors import RequestError

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MOST: Final = 16
_LONGEST: Final = 256


def checked_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels by their names.

    Raises:
        RequestError: there are too many, or one is too long or has a name that is none.
    """
    if len(labels) > _MOST:
        raise _wrong(f"{len(labels)} labels", f"at most {_MOST}")
    for name, text in labels.items():
        if not _NAME.fullmatch(name):
            raise _wrong(f"{name[:80]!a} is no name of a label", 'letters, digits, "_", "-" and ".", 64 at most')
        if len(text) > _LONGEST:
            raise _wrong(f"the label {name} has {len(text)} characters", f"at most {_LONGEST}")
    return dict(sorted(labels.items()))


def _wrong(what: str, expected: str) -> RequestError:
    return RequestError(what, expected=expected, fix="Correct labels", field="labels")
