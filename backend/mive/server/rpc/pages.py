"""How much of a long list one call is told."""

from __future__ import annotations

from typing import Final

from mive.errors import RequestError

MOST: Final = 1000
"""Of one page."""

USUAL: Final = 100


def page_size(asked: int, things: str) -> int:
    """How many things stand on a page.

    Args:
        asked: by the client; 0 leaves it open.
        things: for people.

    Raises:
        RequestError: too many are asked for.
    """
    if asked > MOST:
        raise RequestError(
            f"{asked} {things} on one page",
            expected=f"at most {MOST}; 0 means {USUAL}",
            fix="Correct page_size",
            field="page_size",
        )
    return asked or USUAL
