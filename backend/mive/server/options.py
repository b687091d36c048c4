"""What a worker process is told when it starts, and where a server's files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field

from mive.base.validation import Model, Number
from mive.server.logs import LogOptions
from mive.server.results import DEFAULT_LIMIT as RESULTS_LIMIT
from mive.settings import USUAL_ENGINE, Count, EngineName

INVERSIONS_LIMIT: Final = 8 * 2**30
"""Bytes; as `mive.editing.inversions` has it, which needs torch."""

MOST_FRAMES: Final = 100_000
"""Frames of one job."""

LONGEST_SIDE: Final = 16_384
"""Pixels of a frame's longer side."""

MATTE_BYTES: Final = 2 * 2**30
"""Memory of the mattes of one frame."""

READ_SECONDS: Final = 60.0
"""How long a file may keep a worker waiting for one frame."""

HUNG: Final = 75
"""The exit code of a worker that gave up on a file; sysexits.h calls it a temporary failure."""


class Folders(Model):
    """The data folder of a server; all its processes share it."""

    data: Path = Field(description="the server's data folder")

    @property
    def jobs(self) -> Path:
        """The job store's file."""
        return self.data / "jobs.sqlite"

    @property
    def checkpoints(self) -> Path:
        """One folder of checkpoints per unfinished job."""
        return self.data / "checkpoints"

    @property
    def results(self) -> Path:
        """One folder of frames per job."""
        return self.data / "results"

    @property
    def uploads(self) -> Path:
        """What clients sent, by owner."""
        return self.data / "uploads"

    @property
    def inputs(self) -> Path:
        """Clips and mattes made of uploads and regions, by owner."""
        return self.data / "inputs"

    @property
    def regions(self) -> Path:
        """A record of every open shared-memory region."""
        return self.data / "regions"

    @property
    def exports(self) -> Path:
        """Files that are made for calls."""
        return self.data / "exports"

    @property
    def lock(self) -> Path:
        """Locked by the server that uses this folder."""
        return self.data / "server.lock"

    @property
    def inversions(self) -> Path:
        """The inversions of all sources."""
        return self.data / "inversions"


class WorkerOptions(Folders):
    """The options of one worker process, passed as JSON."""

    name: str = Field(description="the worker's name; no two processes ever share one")
    device: str = Field(default="auto", description="the torch device")
    engine: EngineName = Field(default=USUAL_ENGINE, description="what runs the models")
    bundle: str | None = Field(default=None, description="the bundle to load before the first job")
    lease_seconds: Number = Field(default=15.0, gt=0, description="how long a silent worker keeps its job")
    drain_seconds: Number = Field(default=30.0, ge=0, description="how long a job may go on after SIGTERM")
    results_limit: Count = Field(default=RESULTS_LIMIT, description="bytes of finished jobs' frames")
    inversions_limit: Count = Field(default=INVERSIONS_LIMIT, description="bytes of inversions")
    log: LogOptions = Field(default=LogOptions(), description="what is logged, and how")
    most_frames: Count = Field(default=MOST_FRAMES, description="frames of one job")
    longest_side: Count = Field(default=LONGEST_SIDE, description="pixels of a frame's longer side")
    matte_bytes: Count = Field(default=MATTE_BYTES, description="memory of the mattes of one frame; 0: no limit")
    read_seconds: Number = Field(default=READ_SECONDS, gt=0, description="how long a file may keep the worker waiting")
