"""The folder of a benchmark run: what was asked for, and each clip's result by method."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from mive.base.atomic import write_text
from mive.base.validation import Model
from mive.errors import RequestError
from mive.evaluate.bench.suite import SuiteClip
from mive.request import Settings

RUN_FILE: Final = "run.json"


class RunInfo(Model):
    """``run.json``: what holds for all results in a folder."""

    version: Literal[1] = Field(default=1, description="the version of this format; a newer one needs a newer MIVE")
    suite: str = Field(description="the path of the suite")
    bundle: str = Field(description="the model bundle that edits")
    judge: str = Field(description="the CLIP that scores")
    settings: Settings = Field(description="the settings that the methods start from")

    def told(self) -> dict[str, str]:
        """Preset with what differs from it, bundle and judge, for people; of a folder its name."""
        bundle, judge = (Path(at).name if Path(at).is_absolute() else at for at in (self.bundle, self.judge))
        others = self.settings.model_dump(by_alias=True, exclude_none=True, exclude={"preset"})
        preset = ", ".join([self.settings.preset, *(f"{name} {value}" for name, value in others.items())])
        return {"preset": preset, "bundle": bundle, "judge": judge}


class Result(Model):
    """One clip by one method: its scores, or why there are none."""

    version: Literal[1] = Field(default=1, description="the version of this format; a newer one needs a newer MIVE")
    method: str = Field(description="the method's name")
    clip: str = Field(description="the clip's name")
    digest: str = Field(description="the hash of the clip.json that was edited")
    made_by: dict[str, Any] = Field(description="the settings, or the folder of a foreign output")
    finished: datetime = Field(description="when it was done")
    width: int = Field(default=0, description="the clip's width in pixels")
    height: int = Field(default=0, description="the clip's height in pixels")
    scores: dict[str, Any] | None = Field(default=None, description="the scores")
    seconds: dict[str, float] = Field(default_factory=dict, description="how long each stage took, in seconds")
    fit: tuple[str, ...] = Field(default=(), description="what was done to a foreign output to make it fit")
    warnings: tuple[str, ...] = Field(default=(), description="what the user should know")
    error: dict[str, Any] | None = Field(default=None, description="what went wrong")


class RunFolder:
    """A run's results on disk. Every file in it is whole, and several processes may write to it at once.

    Args:
        folder: need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def inversions(self) -> Path:
        """Where the methods share the sources' inversions."""
        return self.folder / "inversions"

    def info(self) -> RunInfo | None:
        """What was asked for; None where nothing was run yet.

        Raises:
            RequestError: the file cannot be read, or is wrong.
        """
        path = self.folder / RUN_FILE
        try:
            return RunInfo.from_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RequestError(
                f"{path} cannot be read: {error.strerror}",
                expected="a folder that mive bench run made",
                fix="Check the path",
            ) from error
        except RequestError as error:
            raise RequestError(f"{path}: {error.message()}", fix="Choose another folder") from error

    def start(self, info: RunInfo) -> None:
        """Begin a run, or go on with one of the same bundle, judge and settings; the suite may have moved.

        Raises:
            RequestError: the folder holds results of another kind.
            OutputError: it cannot be written.
        """
        before = self.info()
        for name in ("bundle", "judge", "settings"):
            if before is not None and getattr(before, name) != getattr(info, name):
                raise RequestError(
                    f"{self.folder} holds results with another {name}: {getattr(before, name)!s}",
                    expected="one bundle, judge and preset in a folder, so that its results compare",
                    fix="Choose another folder with -o, or leave the option out to go on with this one",
                    field=name,
                )
        write_text(self.folder / RUN_FILE, info.to_json())

    def methods(self) -> list[str]:
        """The names of all methods that have results, sorted."""
        return sorted(path.name for path in (self.folder / "results").glob("*") if path.is_dir())

    def video(self, method: str, clip: str) -> Path:
        """Where the edited clip is kept, lossless."""
        return self.folder / "results" / method / f"{clip}.mkv"

    def load(self, method: str, clip: SuiteClip) -> Result | None:
        """The result, if there is one and it is of this clip as it is now."""
        try:
            result = Result.from_json(self._path(method, clip.name).read_bytes())
        except (FileNotFoundError, RequestError):
            return None
        return result if result.digest == clip.digest else None

    def keep(self, result: Result) -> None:
        """Write a result.

        Raises:
            OutputError: it cannot be written.
        """
        # A score that is missing is told as null, which to_json would leave out.
        write_text(self._path(result.method, result.clip), result.model_dump_json(indent=1) + "\n")

    @contextmanager
    def claim(self, clip: str) -> Iterator[bool]:
        """Whether this process may work on the clip now; a claim ends with its block or its process."""
        place = self.folder / "claims"
        place.mkdir(parents=True, exist_ok=True)
        # SQLite's lock is the one lock of the standard library that every system has and that dies with its owner.
        with contextlib.closing(sqlite3.connect(place / f"{clip}.lock", timeout=0, isolation_level=None)) as lock:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                yield False
                return
            yield True

    def _path(self, method: str, clip: str) -> Path:
        return self.folder / "results" / method / f"{clip}.json"
