"""A project with one clip on its timeline, and a program that stands in for ``mive``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.resolve.fake_resolve import MediaPoolItem, Project, Resolve, Timeline, TimelineItem

from mive_resolve.form import Form


@dataclass
class Scene:
    """Resolve with a clip of 100 frames, of which frames 10 to 29 lie at frame 86500 of the timeline."""

    resolve: Resolve
    project: Project
    timeline: Timeline
    source: MediaPoolItem
    item: TimelineItem
    file: Path


MakeScene = Callable[..., Scene]


@pytest.fixture
def make_scene(tmp_path: Path) -> MakeScene:
    """``make_scene(version=18, tracks=3)``."""

    def make(version: int = 21, tracks: int = 1, **item: object) -> Scene:
        file = tmp_path / "footage" / "shot.mov"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"")
        source = MediaPoolItem(File_Path=str(file), FPS="24", Frames="100", Start="0", Type="Video + Audio")
        timeline = Timeline(version, tracks)
        numbers = {"start": 86500, "duration": 20, "left": 10, **item}
        shot = timeline.put(TimelineItem(source, **numbers))
        project = Project(timeline)
        return Scene(Resolve(project), project, timeline, source, shot, file)

    return make


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    return make_scene()


@pytest.fixture
def form(tmp_path: Path) -> Form:
    """Fields that can be rendered."""
    (tmp_path / "mattes").mkdir()
    return Form("1: a red ball\n2: a cup", str(tmp_path / "mattes"), "standard", "", "", "", str(tmp_path / "made"))


PROGRAM = """#!{python} -I
import json, os, pathlib, signal, sys, time
here = pathlib.Path({folder!r})
(here / "arguments").write_text(json.dumps(sys.argv[1:]))
(here / "environment").write_text(json.dumps(dict(os.environ)))
def stopped(number, frame):
    print(json.dumps({{"error": "Cancelled", "what": "stopped", "fix": "Nothing unfinished was left behind"}}))
    sys.exit(130)
signal.signal(signal.SIGTERM, stopped)
print("editing 1/4, 0:07 left in all", file=sys.stderr, flush=True)
while (here / "hold").exists():
    time.sleep(0.01)
out = pathlib.Path(sys.argv[sys.argv.index("-o") + 1])
out.parent.mkdir(parents=True, exist_ok=True)
out.write_bytes(b"made")
{ending}
"""
DONE = 'print(json.dumps({"out": str(out), "frames": 20, "seconds": {"total": 1.0}, "warnings": ["mind the gap"]}))'


@dataclass(frozen=True)
class Program:
    """A stand-in for ``mive`` that notes how it was called."""

    path: str
    folder: Path

    @property
    def arguments(self) -> list[str]:
        return list(json.loads((self.folder / "arguments").read_text()))

    @property
    def environment(self) -> dict[str, str]:
        return dict(json.loads((self.folder / "environment").read_text()))

    def hold(self) -> None:
        """From now on it does not end by itself."""
        (self.folder / "hold").touch()

    def release(self) -> None:
        (self.folder / "hold").unlink()


@pytest.fixture
def make_program(tmp_path: Path) -> Callable[..., Program]:
    """``make_program("sys.exit(3)")``: how it ends."""

    def make(ending: str = DONE) -> Program:
        folder = tmp_path / "program"
        folder.mkdir()
        path = folder / "mive"
        path.write_text(PROGRAM.format(python=sys.executable, folder=str(folder), ending=ending))
        path.chmod(0o755)
        return Program(str(path), folder)

    return make


@pytest.fixture
def program(make_program: Callable[..., Program]) -> Program:
    return make_program()
