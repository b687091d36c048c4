"""Every error MIVE raises on purpose, as one tree.

::

    MiveError
    ├── RequestError      a field of the request is wrong            exit 2
    ├── MediaError        a clip cannot be read or does not fit      exit 3
    │   └── MatteError    a matte cannot be read or does not fit     exit 3
    ├── BundleError       a model bundle is missing or corrupt       exit 4
    ├── OutputError       the result cannot be written               exit 5
    ├── EngineError       the model failed while editing             exit 6
    │   └── OutOfMemory   the model did not fit in memory            exit 6
    └── Cancelled         the user stopped the edit                  exit 130

Each message says what happened, what was expected and what to do.
"""

from __future__ import annotations


class MiveError(Exception):
    """Base of all errors meant for the user.

    Args:
        what: what happened, naming the file, field or frame.
        expected: what would have been right.
        fix: what the user can do about it.
        field: the request field at fault, as a dotted path, where there is one.
    """

    exit_code = 1

    def __init__(self, what: str, *, expected: str = "", fix: str = "", field: str | None = None) -> None:
        self.what = what
        self.expected = expected
        self.fix = fix
        self.field = field
        super().__init__(self.message())

    def message(self) -> str:
        """The whole text on one line: what, expected, fix."""
        head = f"{self.field}: {self.what}" if self.field else self.what
        parts = [head.rstrip(".") + "."]
        if self.expected:
            parts.append(f"Expected {self.expected.rstrip('.')}.")
        if self.fix:
            parts.append(self.fix.rstrip(".") + ".")
        return " ".join(parts)

    def to_dict(self) -> dict[str, str | None]:
        """The error for machines (``--json``, gRPC details)."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "expected": self.expected,
            "fix": self.fix,
            "field": self.field,
        }


class RequestError(MiveError):
    """A field of the request is missing, malformed or contradicts another."""

    exit_code = 2


class MediaError(MiveError):
    """A clip cannot be found, decoded, or does not hold the frames asked for."""

    exit_code = 3


class MatteError(MediaError):
    """A matte cannot be found or decoded, or does not fit its clip."""


class BundleError(MiveError):
    """A model bundle, or one of its parts, is missing, corrupt or of the wrong kind."""

    exit_code = 4


class OutputError(MiveError):
    """The result cannot be written: no space, no permission, no such encoder."""

    exit_code = 5


class EngineError(MiveError):
    """The model failed while editing, e.g. its latents are no longer finite."""

    exit_code = 6


class OutOfMemory(EngineError):
    """The model did not fit in the device's memory."""


class Cancelled(MiveError):
    """The user stopped the edit; nothing partial was left behind."""

    exit_code = 130
