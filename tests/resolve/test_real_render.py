"""The script's command given to the real ``mive render``, before a server that inverts colours."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

import pytest
from tests.cli.conftest import toy
from tests.client.fake_server import FakeServer
from tests.resolve.conftest import Scene

import mive
import mive_bridge
from mive.evaluate.toyworld.clip import ToyClip
from mive.media import open_clip
from mive_resolve.form import Form
from mive_resolve.refusal import Refusal
from mive_resolve.session import Session
from mive_resolve.shot import find_shot

__all__ = ["toy"]


@pytest.fixture
def program(tmp_path: Path) -> str:
    """``mive`` as it is installed: it finds its own packages, whatever Resolve's environment says."""
    path = tmp_path / "mive"
    packages = shlex.quote(f"{Path(mive.__file__).parents[1]}:{Path(mive_bridge.__file__).parents[1]}")
    code = shlex.quote("import sys; from mive.cli import main; sys.exit(main())")
    path.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {shlex.quote(sys.executable)} -c {code} "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def session(scene: Scene, toy: ToyClip, program: str) -> Session:
    """Frames 1 and 2 of the toy clip, at frame 86500 of the timeline."""
    scene.source.properties.update({"File Path": str(toy.videos[0]), "Frames": "3"})
    scene.item.left, scene.item.duration = 1, 2
    return Session(scene.resolve, find_shot(scene.resolve), program)


def run(session: Session) -> str:
    text = ""
    while session.running:
        text = session.step()
        time.sleep(0.05)
    return text


def form(toy: ToyClip, server: str, folder: Path) -> Form:
    return Form("1: a red ball\n2: a blue cup", str(toy.mattes), "draft", "3", "", server, str(folder))


def test_the_frames_under_the_playhead_come_back_onto_the_timeline(
    session: Session, scene: Scene, toy: ToyClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIVE_TOKEN", raising=False)
    (tmp_path / "server").mkdir()
    with FakeServer(tmp_path / "server") as server:
        session.start(form(toy, server.address, tmp_path / "made"))
        said = run(session)
    assert said.startswith("Done: "), said
    (item,) = scene.timeline.tracks[1].items
    assert (item.start, item.duration) == (86500, 2)
    info = open_clip(Path(item.source.properties["File Path"])).info
    assert info.frames == 2


def test_a_server_that_is_not_there_is_told(session: Session, scene: Scene, toy: ToyClip, tmp_path: Path) -> None:
    session.start(form(toy, "127.0.0.1:1", tmp_path / "made"))
    with pytest.raises(Refusal, match=r"127\.0\.0\.1:1"):
        run(session)
    assert len(scene.timeline.tracks) == 1
    assert not (tmp_path / "made").exists()
