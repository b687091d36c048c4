"""``mive render --bridge`` as a process: Resolve's Python has none of the packages that it needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mive_resolve.refusal import Refusal

# What Resolve sets for its own libraries and its own Python, and what would break MIVE's.
_RESOLVES_OWN = ("LD_", "DYLD_", "PYTHONHOME", "PYTHONPATH", "QT_")
_GRACE = 20.0
"""Seconds in which a cancelled render tells its server and removes what is unfinished."""


@dataclass(frozen=True)
class Rendered:
    """What a finished render left."""

    out: Path
    frames: int
    warnings: tuple[str, ...]


class RenderProcess:
    """A render that runs. It goes on if Resolve ends, and leaves its result where it was told.

    Args:
        command: the program and its arguments, with ``--json``.

    Raises:
        Refusal: it cannot be started.
    """

    def __init__(self, command: list[str]) -> None:
        # Files, not pipes: nothing blocks, and nothing breaks when Resolve ends first.
        self._folder = Path(tempfile.mkdtemp(prefix="mive-resolve-"))
        self._cancelled: float | None = None
        try:
            with self._said.open("wb") as said, self._told.open("wb") as told:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=told,
                    env=environment(os.environ),
                    start_new_session=True,
                )
        except OSError as error:
            self._clear()
            raise Refusal(
                f"{command[0]} cannot be started: {error.strerror}", 'Run "mive plugin install --resolve"'
            ) from error

    @property
    def progress(self) -> str:
        """The last thing it told."""
        lines = self._read(self._told).split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "starting")

    @property
    def cancelled(self) -> bool:
        """Whether the user wants it no more."""
        return self._cancelled is not None

    def cancel(self) -> None:
        """Ends it, and its job at the server; :meth:`poll` tells when that is done."""
        if self._cancelled is None:
            self._cancelled = time.monotonic()
            self._process.terminate()

    def abandon(self) -> None:
        """Ends it without waiting; :meth:`poll` must not be called any more."""
        self.cancel()
        self._clear()

    def poll(self) -> Rendered | None:
        """The result; ``None`` while it runs. Must not be called again once it has ended.

        Raises:
            Refusal: it failed, or was cancelled.
        """
        code = self._process.poll()
        if code is None:
            if self._cancelled is not None and time.monotonic() - self._cancelled > _GRACE:
                self._process.kill()
            return None
        said, told = self._read(self._said), self.progress
        self._clear()
        if self.cancelled and code != 0:
            raise Refusal("Cancelled", "Nothing was changed")
        return _result(code, said, told)

    @property
    def _said(self) -> Path:
        return self._folder / "out"

    @property
    def _told(self) -> Path:
        return self._folder / "err"

    @staticmethod
    def _read(path: Path) -> str:
        return path.read_bytes().decode("utf-8", "replace")

    def _clear(self) -> None:
        shutil.rmtree(str(self._folder), ignore_errors=True)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Resolve's environment without what is for Resolve alone."""
    kept = {name: value for name, value in variables.items() if not name.startswith(_RESOLVES_OWN)}
    return {**kept, "PYTHONUTF8": "1"}


def _result(code: int, said: str, told: str) -> Rendered:
    try:
        values: dict[str, Any] = json.loads(said)
        if "error" in values:
            what = ": ".join(str(values[name]) for name in ("field", "what") if values.get(name))
            raise Refusal(what, str(values.get("fix") or "Change it and render again"))
        return Rendered(Path(values["out"]), int(values["frames"]), tuple(map(str, values["warnings"])))
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(
            f"mive ended with code {code}: {told}", 'Run "mive doctor" in a terminal to see what is missing'
        ) from error
