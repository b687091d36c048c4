"""``mive render``, ``jobs``, ``watch`` and ``cancel`` against a server that inverts colours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from google.rpc import code_pb2
from tests.client.fake_server import FakeServer, edited
from tests.commands import Run

import mive as package
from mive.cli.remote import Teller
from mive.client.events import Queued
from mive.errors import EngineError, MiveError
from mive.evaluate.toyworld.clip import ToyClip
from mive.manifest import read_manifest
from mive.media import open_clip
from mive.request import FrameRange
from mive.wire.errors import error_to_detail


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    for name in ("MIVE_TOKEN", "MIVE_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with FakeServer(tmp_path_factory.mktemp("server")) as server:
        monkeypatch.setenv("MIVE_SERVER", server.address)
        yield server


@pytest.fixture
def words(toy: ToyClip) -> list[str | Path]:
    return [toy.videos[0], "--mattes", toy.mattes, "--edit", "1=a red ball", "--edit", "2=a blue cup"]


def same_frames(out: Path, toy: ToyClip, frames: range) -> bool:
    source = [edited(frame) for frame in open_clip(toy.videos[0]).read()]
    made = list(open_clip(out).read())
    assert len(made) == len(frames)
    return all(np.array_equal(frame, source[index]) for frame, index in zip(made, frames, strict=True))


@pytest.mark.parametrize("send", ["path", "upload", "memory"])
def test_a_render_is_the_frames_and_a_manifest_of_this_machine(
    mive: Run, server: FakeServer, toy: ToyClip, words: list[str | Path], tmp_path: Path, send: str
) -> None:
    server.be.server_paths = server.be.shared_memory = True
    out = tmp_path / "edited.mkv"
    done = mive("render", *words, "--send", send, "-o", out)
    assert done.code == 0, done.err
    assert same_frames(out, toy, range(3))
    assert f"{out}: 3 frames in" in done.out
    manifest = read_manifest(Path(f"{out}.manifest.json"))
    assert (manifest.request.clip, manifest.request.mattes) == (str(toy.videos[0]), str(toy.mattes))
    assert manifest.request.bundle == "tiny"
    assert manifest.outputs == (str(out),)
    assert manifest.frames == FrameRange(0, 2)
    assert list(manifest.matte_hashes) == [str(path) for path in sorted(toy.mattes.iterdir())]
    assert all(len(digest) == 64 for digest in manifest.matte_hashes.values())


def test_handles_and_a_range_are_written_and_numbered_as_in_the_clip(
    mive: Run, server: FakeServer, toy: ToyClip, words: list[str | Path], tmp_path: Path
) -> None:
    server.be.shared_memory = True
    out = tmp_path / "edited"
    arguments = ["--frames", "2", "--handles", "1,5", "--send", "memory", "-o", out]
    assert mive("render", *words, *arguments).code == 0
    assert [path.name for path in sorted(out.glob("*.png"))] == ["0001.png", "0002.png"]
    assert same_frames(out, toy, range(1, 3))
    assert read_manifest(out / "manifest.json").frames == FrameRange(1, 2)
    assert read_manifest(out / "manifest.json").request.frames == FrameRange(2, 2)


def test_progress_is_that_of_an_edit_and_tells_the_queue(
    mive: Run, server: FakeServer, words: list[str | Path], tmp_path: Path
) -> None:
    done = mive("render", *words, "-o", tmp_path / "edited.mkv")
    lines = done.err.splitlines()
    assert "waiting for 2 jobs before this one" in lines
    assert "next in the queue, to go on from its last checkpoint (attempt 2)" in lines
    assert "inverting the source 3/3" in lines
    assert "editing 1/4, 0:30 left in all" in lines
    assert "fetching frames 3/3" in lines
    assert lines[-1] == "Warning: the caption is long"
    assert mive("render", *words, "-q", "-o", tmp_path / "b.mkv").err == "Warning: the caption is long\n"


def test_sound_and_tags_of_the_source_are_in_the_output(
    mive: Run, server: FakeServer, toy: ToyClip, words: list[str | Path], tmp_path: Path
) -> None:
    clip = tmp_path / "sounding.mkv"
    with av.open(str(toy.videos[0])) as source, av.open(str(clip), "w") as target:
        picture = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("pcm_s16le", rate=48000)
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = picture
                target.mux(packet)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 18000), np.int16), "s16", "mono")
        silence.sample_rate, silence.pts, silence.time_base = 48000, 0, Fraction(1, 48000)
        target.mux(sound.encode(silence))
        target.mux(sound.encode(None))
    out = tmp_path / "edited.mkv"
    assert mive("render", clip, *words[1:], "-o", out).code == 0
    info = open_clip(out).info
    assert info.has_audio
    assert info.rate == 8


def test_a_detached_job_is_its_id_and_can_be_collected(
    mive: Run, server: FakeServer, toy: ToyClip, words: list[str | Path], tmp_path: Path
) -> None:
    detached = mive("render", *words, "--detach")
    assert detached.out == "job-1\n"
    assert "mive watch job-1 -o OUT" in detached.err
    assert mive("render", *words, "--detach", "--json").json == {"job": "job-2"}
    watched = mive("watch", "job-1")
    assert watched.code == 0
    assert "Done: frames 0-2" in watched.out
    out = tmp_path / "edited.mkv"
    lost = mive("watch", "job-1", "-o", out)
    assert lost.code == 3
    assert "--clip CLIP" in lost.err
    found = mive("watch", "job-1", "-o", out, "--clip", toy.videos[0], "--mattes", toy.mattes)
    assert found.code == 0, found.err
    assert same_frames(out, toy, range(3))
    request = read_manifest(Path(f"{out}.manifest.json")).request
    assert (request.clip, request.mattes) == (str(toy.videos[0]), str(toy.mattes))


def test_a_job_by_path_is_collected_without_naming_anything(
    mive: Run, server: FakeServer, toy: ToyClip, words: list[str | Path], tmp_path: Path
) -> None:
    server.be.server_paths = True
    assert mive("render", *words, "--detach").code == 0
    said = mive("watch", "job-1", "-o", tmp_path / "edited.mkv", "--json")
    assert (said.json["job"], said.json["frames"]) == ("job-1", 3)
    assert "is not here" not in str(said.json["warnings"])
    assert same_frames(tmp_path / "edited.mkv", toy, range(3))


def test_mattes_that_are_not_here_are_a_warning(
    mive: Run, server: FakeServer, toy: ToyClip, words: list[str | Path], tmp_path: Path
) -> None:
    assert mive("render", *words, "--detach").code == 0
    done = mive("watch", "job-1", "-o", tmp_path / "edited.mkv", "--clip", toy.videos[0])
    assert done.code == 0
    assert "name it with --mattes" in done.err


def test_collecting_with_another_clip_is_refused(
    mive: Run, server: FakeServer, toy: ToyClip, words: list[str | Path], tmp_path: Path
) -> None:
    assert mive("render", *words, "--detach").code == 0
    other = toy.mattes / "0000.png"
    done = mive("watch", "job-1", "-o", tmp_path / "edited.mkv", "--clip", other.rename(tmp_path / "one.png"))
    assert done.code == 2
    assert "not the clip that was edited" in done.err
    assert not (tmp_path / "edited.mkv").exists()


def test_jobs_are_listed_and_captions_only_where_asked_for(
    mive: Run, server: FakeServer, words: list[str | Path]
) -> None:
    assert "There are no jobs." in mive("jobs").out
    for _ in range(3):
        mive("render", *words, "--detach")
    short, long = mive("jobs").out, mive("jobs", "--long").out
    assert [word for word in ("job-3", "done", "source.mkv", "0-2") if word not in short] == []
    assert "a red ball" not in short
    assert "1: a red ball" in long
    listed = mive("jobs", "--most", "2", "--json").json
    assert [job["job"] for job in listed["jobs"]] == ["job-3", "job-2"]
    assert listed["more"] is True
    assert "captions" not in listed["jobs"][0]


def test_jobs_are_cancelled_by_id(mive: Run, server: FakeServer, words: list[str | Path]) -> None:
    server.be.hold.clear()
    mive("render", *words, "--detach")
    assert mive("cancel", "job-1").out == "job-1: cancelled\n"
    watched = mive("watch", "job-1")
    assert watched.code == 130
    assert "its user cancelled it" in watched.err
    missing = mive("cancel", "job-7", "--json")
    assert missing.code == 1
    assert missing.json["error"] == "NotFound"


def test_the_exit_code_is_that_of_the_jobs_error(
    mive: Run, server: FakeServer, words: list[str | Path], tmp_path: Path
) -> None:
    mive("render", *words, "--detach")
    failed = error_to_detail(EngineError("the latents are no longer finite", fix="Lower the guidance"))
    server.jobs["job-1"].events[-1].failed.error.CopyFrom(failed)
    done = mive("watch", "job-1", "-o", tmp_path / "x.mkv", "--clip", words[0])
    assert done.code == 6
    assert "Lower the guidance" in done.err
    assert not (tmp_path / "x.mkv").exists()


def test_frames_that_are_not_the_manifests_leave_no_output(
    mive: Run, server: FakeServer, words: list[str | Path], tmp_path: Path
) -> None:
    server.be.other_pixels = True
    done = mive("render", *words, "-o", tmp_path / "out" / "edited.mkv")
    assert done.code == 1
    assert "other than those that the job's manifest tells of" in done.err
    assert not (tmp_path / "out").exists()


CASES: dict[str, tuple[list[str], int, list[str]]] = {
    "no output": ([], 2, ["where the result goes", "--detach"]),
    "an unknown way to send": (["-o", "x.mkv", "--send", "uplaod"], 2, ["uplaod", '"upload" is meant']),
    "an unknown priority": (["-o", "x.mkv", "--priority", "high"], 2, ["high", "interactive"]),
    "handles in words": (["-o", "x.mkv", "--handles", "many"], 2, ["many", "--handles 8,4"]),
    "detached from memory": (["--detach", "--send", "memory"], 2, ["--send upload or path"]),
    "paths that are not taken": (["-o", "x.mkv", "--send", "path"], 2, ["does not take paths", "--send upload"]),
    "no such address": (["-o", "x.mkv", "--server", "render7"], 2, ["render7", "--server or MIVE_SERVER"]),
    "nobody there": (["-o", "x.mkv", "--server", "127.0.0.1:1"], 1, ["127.0.0.1:1", "mive-server --engine torch"]),
    "no token file": (["-o", "x.mkv", "--token-file", "none"], 2, ["none", "permissions"]),
    "an output over the source": (["-o", "CLIP"], 5, ["source", "another name"]),
    "a range outside the clip": (["-o", "x.mkv", "--frames", "1-9"], 3, ["1-9", "0-2"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_clear_sentence_and_no_job(
    mive: Run, server: FakeServer, toy: ToyClip, words: list[str | Path], tmp_path: Path, case: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    arguments, code, expected = CASES[case]
    done = mive("render", *words, *(str(toy.videos[0]) if word == "CLIP" else word for word in arguments))
    assert done.code == code, done.err
    message = done.err.splitlines()[-1]
    assert message.startswith("Error: ")
    assert [word for word in expected if word not in message] == []
    assert not server.jobs
    assert not (tmp_path / "x.mkv").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_a_refused_edit_ends_as_a_local_one(
    mive: Run, server: FakeServer, words: list[str | Path], tmp_path: Path
) -> None:
    server.be.refusals = [(MiveError("the key was used", fix="Use another"), code_pb2.ALREADY_EXISTS, None)]
    done = mive("render", *words, "-o", tmp_path / "x.mkv", "--json")
    assert done.code == 1
    assert done.json["what"] == "the key was used"


def test_ctrl_c_cancels_the_job_and_leaves_nothing(server: FakeServer, words: list[str | Path], tmp_path: Path) -> None:
    server.be.hold.clear()
    out = tmp_path / "out" / "edited.mkv"
    command = [sys.executable, "-c", "import sys; from mive.cli import main; sys.exit(main())", "render"]
    process = subprocess.Popen(
        [*command, *map(str, words), "-o", str(out)],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("editing"):
            break
    assert list(tmp_path.rglob("*.partial"))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "Error: stopped. Nothing unfinished was left behind."
    assert server.calls["CancelJob"] == 1
    assert not out.parent.exists()


def test_the_same_place_in_the_queue_is_told_once() -> None:
    from datetime import UTC, datetime

    said: list[str] = []

    class Display:
        def __call__(self, progress: object, eta: float | None = None) -> None: ...

        def say(self, text: str) -> None:
            said.append(text)

    tell = Teller(Display())
    for position in (2, 2, 1, 0):
        tell(Queued("job", 1, datetime.now(UTC), position, 0))
    assert said == ["waiting for 2 jobs before this one", "waiting for 1 job before this one", "next in the queue"]


def test_help_loads_neither_grpc_nor_media() -> None:
    code = (
        "import json, sys; from mive.cli import main;"
        "[main([command, '--help']) for command in ('render', 'jobs', 'watch', 'cancel')];"
        "print(json.dumps([m for m in ('torch', 'numpy', 'av', 'cv2', 'grpc') if m in sys.modules]))"
    )
    environment = {"PYTHONPATH": str(Path(package.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, env=environment)
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert done.stdout.count("--json") == 4
