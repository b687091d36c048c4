"""What the user should know of clips, mattes and outputs: nothing is wrong in silence."""

from __future__ import annotations

from collections.abc import Iterator

from mive.errors import MediaError, MiveError


class Warnings:
    """Sentences for the user, each once, in the order in which they came up.

    Args:
        strict: what would be told is raised instead.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self._texts: dict[str, str] = {}

    def tell(self, text: str, *, about: str = "", error: type[MiveError] = MediaError, fix: str = "") -> None:
        """Add a sentence.

        Args:
            about: a later sentence about the same replaces the earlier one; by default the sentence itself.
            error: what a strict edit ends with.
            fix: what the user can do about it.

        Raises:
            MiveError: the edit is strict.
        """
        if self.strict:
            raise error(
                text,
                expected="nothing to warn of, since the edit is strict",
                fix=fix or "Mend it, or leave --strict out to go on with a warning",
            )
        self._texts[about or text] = f"{text.rstrip('.')}. {fix}." if fix else text

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._texts.values()))
