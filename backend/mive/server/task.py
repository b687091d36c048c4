"""What lies between a worker and the code that edits: a job's view for its renderer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mive.base.progress import Report
from mive.base.work import Work
from mive.manifest import Manifest
from mive.media import ClipInfo
from mive.request import EditRequest, FrameRange
from mive.server.jobs import Handles
from mive.server.leases import DeviceFacts
from mive.server.results import JobResults

Image = NDArray[np.uint8]
"""A preview, [h, w, 3]."""


@dataclass(frozen=True)
class Task:
    """One job to edit.

    Attributes:
        owner: whose job it is.
        request: what to do.
        handles: frames besides the request's.
        window: frames per window instead of the request's; None leaves it.
        checkpoints: the job's folder of checkpoints.
        results: where finished frames go, by their index in the clip.
        report: told how far it is; it raises to stop the edit.
        opened: told the clip, once it is open, and the frames that will be edited; it raises where they are too many.
        matte_bytes: of memory that the mattes of one frame may take; 0 is no limit.
        planned: told how much there is to do, once that is known.
        checkpointed: told once that the edit got ahead.
        finished: told the frames, number (from 1) and count of every finished window.
        preview_every: steps between two previews; 0 means none.
        preview: told an instance's id, the frame's index in the clip, the image, and the steps done and in all.
        warned: told what the user should know, all that is known so far.
        adopt: given the key of a result, puts the frames of an earlier job with that key into ``results`` and returns
            its manifest; None where there is none.
    """

    owner: str
    request: EditRequest
    handles: Handles
    window: int | None
    checkpoints: Path
    results: JobResults
    report: Report
    opened: Callable[[FrameRange, ClipInfo], None]
    matte_bytes: int
    planned: Callable[[Work], None]
    checkpointed: Callable[[], None]
    finished: Callable[[FrameRange, int, int], None]
    preview_every: int
    preview: Callable[[int, int, Image, int, int], None]
    warned: Callable[[Sequence[str]], None]
    adopt: Callable[[str], Manifest | None]


@dataclass(frozen=True)
class Rendered:
    """What an edit made; its frames are in the task's results.

    Attributes:
        manifest: with no outputs, since the frames have no place of their own yet.
        warnings: what the user should know.
        key: names the result by all that shapes it; "" where it is not to be used again.
        cached: an earlier job had made it.
    """

    manifest: Manifest
    warnings: tuple[str, ...]
    key: str = ""
    cached: bool = False


class Renderer(Protocol):
    """Edits jobs, one at a time."""

    def load(self, bundle: str) -> None:
        """Load a bundle and warm it up, so that the first job starts at once.

        Raises:
            BundleError, OutOfMemory: it cannot be loaded.
        """

    def about(self) -> DeviceFacts:
        """The device as it is now."""

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
