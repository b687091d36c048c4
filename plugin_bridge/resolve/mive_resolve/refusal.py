"""The one error of the script."""

from __future__ import annotations


class Refusal(Exception):
    """Something cannot be done; told to the user as it is.

    Args:
        what: what is the matter.
        fix: what the user can do about it.
    """

    def __init__(self, what: str, fix: str) -> None:
        self.what = what
        self.fix = fix
        super().__init__(f"{what.rstrip('.')}. {fix.rstrip('.')}.")
