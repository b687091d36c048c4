"""The whole chain, nothing replaced: the plugin in hosts, the bridge, the server and the tiny model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.bridge.conftest import BridgeProcess
from tests.bridge.plugin import until
from tests.hosts.link import Pixels
from tests.hosts.melt import Frames, Melt
from tests.hosts.ofx_host import GENERAL, Content
from tests.hosts.ofx_instance import Effect
from tests.plugin.chain import FRAMES, SEED, Shot, make_shot
from tests.plugin.conftest import OpenHost
from tests.server.served import Served, real

from mive.request import FrameRange
from mive.v1 import job_pb2, mive_pb2

pytestmark = pytest.mark.slow

DRAFT = 0
PATIENCE = 900
"""Seconds; a busy machine may need that long for an edit of ten."""
DEAD = "127.0.0.1:9"
"""Nobody listens there."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = real(tmp_path_factory.mktemp("server") / "data", "--bundle", "tiny").ready()
    yield served
    served.close()


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BridgeProcess]:
    """An editor whose bridge runs."""
    editor = BridgeProcess(tmp_path_factory.mktemp("e")).start()
    yield editor
    editor.close()


@pytest.fixture(scope="module")
def melt_editor(melt_folder: Path) -> Iterator[BridgeProcess]:
    """One whose bridge melt sees."""
    (melt_folder / "editor").mkdir()
    editor = BridgeProcess(melt_folder / "editor").start()
    yield editor
    editor.close()


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    return make_shot(tmp_path_factory.mktemp("shot"))


def effect_on(shot: Shot, server: str) -> dict[str, object]:
    """The effect's parameters in melt."""
    return {
        "captions": shot.captions, "mattes": shot.mattes, "frameRange": f"0-{FRAMES - 1}",
        "preset": "Draft", "seed": SEED, "server": server,
    }  # fmt: skip


def same_inside_and_the_host_s_own_outside(shown: Frames, made: Pixels, source: Frames, inside: Pixels) -> None:
    np.testing.assert_array_equal(shown[~inside], source[~inside])
    np.testing.assert_array_equal(shown[inside], made[inside])
    assert (shown != source).any(axis=3)[inside].mean() > 0.9, "the edit changes what it should"


def test_melt_shows_frame_by_frame_what_mive_edit_makes(
    melt: Melt, melt_folder: Path, melt_editor: BridgeProcess, server: Served, shot: Shot, tmp_path: Path
) -> None:
    clip = Path(shutil.copy(shot.clip, melt_folder / "toy.mkv"))
    edit = {**effect_on(shot, server.address), "bridge": melt_editor.socket}
    collected, said = melt.play(clip, mode="Analyse", **edit)
    np.testing.assert_array_equal(collected, shot.frames)
    assert "MIVE shows the source." in said
    shown, said = melt.play(clip, mode="Playback", onMiss="Wait", **edit)
    same_inside_and_the_host_s_own_outside(shown, shot.edit(tmp_path), shot.frames, shot.inside)
    assert "MIVE shows the source." not in said

    out_of_order, _ = melt.play(clip, real_time=-4, mode="Playback", **edit)
    np.testing.assert_array_equal(out_of_order, shown)


def test_melt_shows_an_edit_of_the_file_behind_the_clip(
    melt: Melt, melt_folder: Path, melt_editor: BridgeProcess, server: Served, shot: Shot, tmp_path: Path
) -> None:
    """H.264: the host decodes it by itself, and bridge and server as `mive edit` does."""
    clip = Path(shutil.copy(shot.encoded, melt_folder / "toy.mp4"))
    edit = {
        **effect_on(shot, server.address), "media": shot.encoded, "frameRange": "0-1", "bridge": melt_editor.socket,
    }  # fmt: skip
    source, _ = melt.play(clip, mode="Off", **edit)
    shown, _ = melt.play(clip, mode="Analyse", onMiss="Wait", real_time=-4, **edit)
    made, edited = source.copy(), np.zeros_like(shot.inside)
    made[:2], edited[:2] = shot.edit(tmp_path, shot.encoded, FrameRange(0, 1)), shot.inside[:2]
    same_inside_and_the_host_s_own_outside(shown, made, source, edited)

    trimmed, said = melt.play(clip, "in=1", mode="Playback", **edit)
    np.testing.assert_array_equal(trimmed, source[1:], "melt counts from the first frame that is used")
    assert "The host's frame 0 is frame 1 of the file." in said


def test_melt_passes_the_source_while_the_server_is_dead(
    melt: Melt, melt_folder: Path, melt_editor: BridgeProcess, shot: Shot
) -> None:
    clip = Path(shutil.copy(shot.clip, melt_folder / "dead.mkv"))
    edit = {**effect_on(shot, DEAD), "seed": SEED + 1, "bridge": melt_editor.socket}
    melt.play(clip, mode="Analyse", **edit)
    until(lambda: "No server answers at 127.0.0.1:9" in melt.play(clip, mode="Playback", **edit)[1])
    for real_time in (-1, -4):
        shown, said = melt.play(clip, mode="Playback", real_time=real_time, **edit)
        np.testing.assert_array_equal(shown, shot.frames)
        assert said.count("MIVE shows the source. Queued. No server answers") >= FRAMES


@pytest.fixture
def socket_path(
    editor: BridgeProcess, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Of the editor's bridge; hosts keep their copies of the plugin beside what is returned."""
    monkeypatch.setenv("MIVE_BRIDGE_SOCKET", str(editor.socket))
    monkeypatch.setenv("MIVE_BRIDGE", "/nonexistent/mive-bridge")
    return tmp_path_factory.mktemp("b") / "b.sock"


CAPTIONS = "1: a green cup\n5: a blue striped ball"


@pytest.fixture
def effect(open_host: OpenHost, shot: Shot, server: Served) -> Effect:
    """On a float clip, with a matte clip for the cup and another for the ball."""
    clips = {"Source": shot.footage, "Mattes": shot.matte(1), "Mattes2": shot.matte(2)}
    values = {"captions": CAPTIONS, "preset": DRAFT, "seed": SEED, "server": server.address, "frameRange": "0-2"}
    return open_host(temporal_access=True).create(GENERAL, clips, values)


def finish(effect: Effect) -> None:
    until(lambda: (effect.open_panel(), effect.status.startswith(("Done", "Failed")))[1], PATIENCE)
    assert effect.status.startswith("Done: 3 of 3 frames."), effect.status


def jobs(server: Served, *states: job_pb2.JobState) -> list[str]:
    """Of the server, in these states or all, newest first."""
    return [job.job_id for job in server.stub.ListJobs(mive_pb2.ListJobsRequest(states=states)).jobs]


def running(server: Served) -> list[str]:
    return jobs(server, job_pb2.JOB_STATE_RUNNING)


def shows(effect: Effect, *pictures: Pixels, because: str = "") -> None:
    """The frames are these, and where they are the source, the effect says why."""
    for number, picture in enumerate(pictures):
        shown = effect.render(number)
        np.testing.assert_array_equal(shown.pixels, picture)
        if np.array_equal(picture, effect.contents["Source"](number)):
            assert because in shown.message
        else:
            assert shown.message == ""


@pytest.fixture(scope="module")
def made(shot: Shot, tmp_path_factory: pytest.TempPathFactory) -> list[Pixels]:
    """What the host should show: the frames of `mive edit`."""
    mattes = {1: shot.matte(1), 5: shot.matte(2)}
    captions = [line.split(": ")[1] for line in CAPTIONS.split("\n")]
    edited = shot.edit_floats(tmp_path_factory.mktemp("made"), shot.footage, mattes, captions)
    pictures = [shot.footage(number) for number in range(FRAMES)]
    for number, picture in enumerate(pictures):
        picture[shot.inside[number], :3] = edited[number][shot.inside[number]]
    return pictures


def test_analyse_in_a_float_host_gives_the_frames_of_mive_edit(
    effect: Effect, server: Served, shot: Shot, made: list[Pixels]
) -> None:
    effect.press("analyse")
    assert effect.host.progress[-1] == 1.0, "all frames were handed over"
    shows(effect, *map(shot.footage, range(FRAMES)), because="MIVE shows the source.")
    finish(effect)
    shows(effect, *made)


CHANGES = {
    "captions": "1: a green cup\n5: a red striped ball", "seed": 7, "strength": 1.5, "preset": 1, "frameRange": "0-3",
}  # fmt: skip
HARMLESS = {"server": DEAD, "token": "/nowhere/token", "onMiss": 1, "mode": 0}


def test_a_change_invalidates_exactly_the_frames_that_it_touches(
    effect: Effect, server: Served, shot: Shot, made: list[Pixels]
) -> None:
    effect.press("analyse")
    finish(effect)
    before_all = jobs(server)
    sources = [shot.footage(number) for number in range(FRAMES)]
    for name, value in CHANGES.items():
        before = effect.value(name)
        effect.set(name, value)
        shows(effect, *sources, because="Not analysed")
        effect.set(name, before)
        shows(effect, *made)
    for name, value in HARMLESS.items():
        before = effect.value(name)
        effect.set(name, value)
        shows(effect, *made)
        effect.set(name, before)
    for clip in ("Source", "Mattes", "Mattes2"):
        before = effect.contents
        effect.contents = {**before, clip: nudged(before[clip], 1)}
        effect = effect.recreated()
        shows(effect, made[0], effect.contents["Source"](1), made[2], because="have changed")
        effect.contents = before
        effect = effect.recreated()
        shows(effect, *made)
    assert jobs(server) == before_all, "nothing was made for that"


def nudged(content: Content, number: int) -> Content:
    """One pixel of one frame is another."""

    def frame(time: float) -> Pixels:
        pixels = content(time).copy()
        if time == number:
            pixels[100, 100, 0] = 1 - pixels[100, 100, 0] / 2
        return pixels

    return frame


def test_a_preview_comes_within_the_first_tenth_of_the_job(effect: Effect, server: Served, shot: Shot) -> None:
    """A picture beside the bridge's cache, which the status names until the edit ends."""
    effect.set("seed", SEED + 2)
    # A clip that was inverted before has no sketch: its first step comes as soon.
    effect.set("preset", 1)
    effect.press("analyse")
    until(lambda: (effect.open_panel(), "Preview" in effect.status)[1], PATIENCE)
    told = re.search(r"Preview (from a quick sketch|after step (\d+) of (\d+)): (/.+\.png)$", effect.status)
    assert told, effect.status
    assert told[2] is None or int(told[2]) <= int(told[3]) / 10

    def both() -> bool:
        """Cup and ball side by side."""
        preview = cv2.imread(told[4])
        return preview is not None and preview.shape[0] <= 256 < preview.shape[1]

    until(both, PATIENCE)
    shows(effect, *map(shot.footage, range(FRAMES)), because="Preview")
    effect.press("cancel")
    until(lambda: not Path(told[4]).exists())


def test_cancel_stops_the_job_at_the_server(effect: Effect, server: Served, shot: Shot) -> None:
    effect.set("seed", SEED + 3)
    effect.press("analyse")
    until(lambda: (effect.open_panel(), effect.status.startswith("Editing"))[1], PATIENCE)
    (job,) = running(server)
    effect.press("cancel")
    assert effect.status == "Cancelled: press Analyse to start again."
    assert server.finish(job).WhichOneof("event") == "cancelled"
    shows(effect, *map(shot.footage, range(FRAMES)), because="Cancelled")
    effect.press("analyse")
    until(lambda: running(server) not in ([], [job]))
    effect.press("cancel")
    until(lambda: not running(server))
