"""Where things of the service lie."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from mive.base.atomic import output_errors

OWNER: Final = "[0-9a-z]{1,128}"
"""What all owners look like, so that they are safe as names of folders."""


def owner_folder(folder: Path, owner: str) -> Path:
    """The folder of all that belongs to one owner.

    Args:
        owner: as `mive.server.auth` has it; anything else is a mistake of the caller's, never a client's.
    """
    if not re.fullmatch(OWNER, owner):
        raise ValueError("an owner is the hash of a token, or a word")
    return folder / owner


def make_folder(folder: Path, what: str) -> None:
    """Make a folder for this user only.

    Raises:
        OutputError: it cannot be made.
    """
    with output_errors(what):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
