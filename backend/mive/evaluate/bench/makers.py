"""What makes the edited clips of a benchmark: MIVE by one of its methods, or (see `foreign`) another tool."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mive.base.progress import Report
from mive.edit import run_edit
from mive.editing.inversions import InversionCache
from mive.evaluate.bench.methods import Method
from mive.evaluate.bench.suite import SuiteClip
from mive.request import EditRequest, Settings


@dataclass(frozen=True)
class Made:
    """What came of one clip.

    Attributes:
        seconds: wall time by stage; empty where it is not known.
        fit: what was done to make the frames fit the source.
        warnings: what the user should know.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    fit: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Maker(Protocol):
    """Makes the edited frames of a clip."""

    @property
    def name(self) -> str:
        """Names the results."""

    @property
    def made_by(self) -> dict[str, Any]:
        """All that decides the frames besides the clip; another value makes kept results out of date."""

    def make(self, clip: SuiteClip, out: Path, report: Report) -> Made:
        """Write the edited clip to ``out``, as many frames of the same size as its source.

        Raises:
            MiveError: it cannot be made.
        """


class Editing:
    """MIVE itself.

    Args:
        method: one of the registry.
        base: the run's settings.
        bundle: the model bundle.
        cache: where inversions are kept for all methods.

    Raises:
        RequestError: method and settings do not go together.
    """

    def __init__(self, method: Method, base: Settings, bundle: str, cache: InversionCache) -> None:
        self.name = method.name
        self._settings = method.settings(base)
        self._bundle = bundle
        self._cache = cache

    @property
    def made_by(self) -> dict[str, Any]:
        return self._settings.model_dump(mode="json", by_alias=True, exclude_none=True)

    def make(self, clip: SuiteClip, out: Path, report: Report) -> Made:
        """See `Maker.make`."""
        request = EditRequest(
            clip=str(clip.source.absolute()),
            mattes=str(clip.mattes.absolute()),
            instances=clip.instances,
            global_caption=clip.target_caption,
            bundle=self._bundle,
            settings=self._settings,
        )
        result = run_edit(request, out, report=report, cache=self._cache)
        return Made(result.seconds, warnings=result.warnings)
