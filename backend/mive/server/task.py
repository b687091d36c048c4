"""What lies between a worker and the code that edits: a job's view for its renderer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mive.manifest import Manifest
from mive.progress import Report
from mive.request import EditRequest, FrameRange
from mive.server.results import JobResults


@dataclass(frozen=True)
class Task:
    """One job to edit.

    Attributes:
        request: what to do.
        window: frames per window instead of the request's; None leaves it.
        checkpoints: the job's folder of checkpoints.
        results: where finished frames go, by their index in the clip.
        report: told how far it is; it raises to stop the edit.
        opened: told the frames that will be edited, once the clip is open.
        checkpointed: told once that the edit got ahead.
        finished: told the frames, number (from 1) and count of every finished window.
    """

    request: EditRequest
    window: int | None
    checkpoints: Path
    results: JobResults
    report: Report
    opened: Callable[[FrameRange], None]
    checkpointed: Callable[[], None]
    finished: Callable[[FrameRange, int, int], None]


@dataclass(frozen=True)
class Rendered:
    """What an edit made; its frames are in the task's results.

    Attributes:
        manifest: with no outputs, since the frames have no place of their own yet.
        warnings: what the user should know.
    """

    manifest: Manifest
    warnings: tuple[str, ...]


class Renderer(Protocol):
    """Edits jobs, one at a time."""

    def load(self, bundle: str) -> None:
        """Load a bundle and warm it up, so that the first job starts at once.

        Raises:
            BundleError, OutOfMemory: it cannot be loaded.
        """

    def half_window(self, request: EditRequest) -> int | None:
        """Half as many frames as a window of the request has; None where it has but one.

        Raises:
            MiveError: the clip or the bundle cannot be opened.
        """

    def render(self, task: Task) -> Rendered:
        """Edit a job, from its last checkpoint on if it has one.

        Raises:
            MiveError: as `mive.edit.run_edit`; OutOfMemory for every kind of memory.
        """

    def free(self) -> None:
        """Give back the memory that the last job took; an error means that the process is of no more use."""
