"""Bad input: the exit code, a message that names the thing and the fix, and nothing left behind."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from tests.commands import Run

from mive.evaluate.toyworld.clip import ToyClip


@dataclass
class Bench:
    """An edit that would work, to be broken in one place."""

    folder: Path
    clip: Path
    mattes: Path
    bundle: Path
    out: Path

    def edit(
        self,
        *more: str | Path,
        clip: Path | None = None,
        mattes: Path | None = None,
        edit: str = "1=a red ball",
        bundle: Path | str | None = None,
        out: Path | None = None,
    ) -> list[str | Path]:
        self.out = out or self.out
        return [
            clip or self.clip, "--mattes", mattes or self.mattes, "--edit", edit,
            "--bundle", bundle or self.bundle, "--set", "steps=1", "--set", "inversion_steps=1",
            "-o", self.out, *more,
        ]  # fmt: skip

    def setting(self, text: str) -> list[str | Path]:
        return self.edit("--set", text)

    def broken_bundle(self, break_it: Callable[[Path], None]) -> list[str | Path]:
        copy = self.folder / "bundle"
        shutil.copytree(self.bundle, copy)
        break_it(copy)
        return self.edit(bundle=copy)

    def request(self, text: str) -> list[str | Path]:
        path = self.folder / "edit.json"
        path.write_text(text)
        return ["--request", path, "-o", self.out]

    def request_with(self, **changes: Any) -> list[str | Path]:
        instance = {"id": 1, "caption": "a red ball"}
        whole = {"clip": str(self.clip), "mattes": str(self.mattes), "instances": [instance]}
        return self.request(json.dumps({**whole, **changes}))

    def snapshot(self) -> dict[str, str]:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def bench(toy: ToyClip, bundle: Path, tmp_path: Path) -> Bench:
    return Bench(tmp_path, toy.videos[0], toy.mattes, bundle, tmp_path / "edited.mkv")


def smaller_mattes(bench: Bench) -> Path:
    folder = bench.folder / "smaller"
    folder.mkdir()
    for path in sorted(bench.mattes.iterdir()):
        cv2.imwrite(str(folder / path.name), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[::2, ::2])
    return folder


def fewer_mattes(bench: Bench) -> Path:
    folder = bench.folder / "fewer"
    shutil.copytree(bench.mattes, folder)
    (folder / "0002.png").unlink()
    return folder


def no_frames(bench: Bench) -> Path:
    path = bench.folder / "none.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24, width=64, height=64)
        stream.pix_fmt = "bgr0"
        container.start_encoding()
    return path


def text_file(bench: Bench) -> Path:
    path = bench.folder / "notes.mp4"
    path.write_text("not a video")
    return path


def soft_mattes(bench: Bench) -> Path:
    path = bench.folder / "mattes.jpg"
    cv2.imwrite(str(path), np.zeros((64, 64), np.uint8))
    return path


def inside_a_file(bench: Bench) -> Path:
    (bench.folder / "file").write_text("")
    return bench.folder / "file" / "edited.mkv"


def cut_weights(bundle: Path) -> None:
    weights = bundle / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def without_vae(bundle: Path) -> None:
    shutil.rmtree(bundle / "vae")


def pickled_vae(bundle: Path) -> None:
    weights = bundle / "vae" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))


CASES: dict[str, tuple[Callable[[Bench], list[str | Path]], int, list[str]]] = {
    # the request
    "no clip": (lambda b: ["--edit", "1=x", "-o", b.out], 2, ["no clip", "--request"]),
    "no edits": (lambda b: [b.clip, "-o", b.out], 2, ["nothing to edit", "--edit"]),
    "no mattes": (
        lambda b: [b.clip, "--edit", "1=x", "-o", b.out],
        2,
        ["where instance 1 is", "--mattes PATH"],
    ),
    "no output": (lambda b: [b.clip, "--edit", "1=x"], 2, ["--out", "--help"]),
    "an unknown option": (lambda b: b.edit("--mates", "x"), 2, ["--mates", "--mattes"]),
    "a malformed edit": (lambda b: b.edit(edit="a red ball"), 2, ["a red ball", "ID=CAPTION"]),
    "an empty caption": (lambda b: b.edit(edit="1="), 2, ["caption is empty", "Write a caption"]),
    "the same id twice": (lambda b: b.edit("--edit", "1=a cup"), 2, ["id 1 too", "Renumber"]),
    "an id of zero": (lambda b: b.edit(edit="0=a cup"), 2, ["id", "1 or more"]),
    "a source of no instance": (
        lambda b: b.edit("--source", "5=a cup"),
        2,
        ["instance 5", "--edit"],
    ),
    "a matte of no instance": (lambda b: b.edit("--matte", "5=m.png"), 2, ["instance 5", "--edit"]),
    "a backwards range": (lambda b: b.edit("--frames", "2-1"), 2, ["backwards", "Write 1-2"]),
    "a range of words": (lambda b: b.edit("--frames", "all"), 2, ['"all"', "FIRST-LAST"]),
    "an unknown setting": (lambda b: b.setting("step=3"), 2, ["settings.step", '"steps" is meant']),
    "a malformed setting": (lambda b: b.setting("steps"), 2, ['"steps"', "NAME=VALUE"]),
    "a setting twice": (lambda b: b.setting("steps=9"), 2, ["steps is given twice", "Remove"]),
    "an unknown plan": (lambda b: b.setting("plan=miwe"), 2, ["miwe", '"mive" is meant']),
    "an unknown preset": (lambda b: b.edit("--preset", "drafty"), 2, ["preset", '"draft" is meant']),
    "an unknown codec": (lambda b: b.edit("--codec", "h263"), 2, ["h263", '"h264" is meant']),
    "an overlap as long as the window": (
        lambda b: b.edit("--set", "window=4", "--set", "overlap=4"),
        2,
        ["overlap", "Make the overlap smaller"],
    ),
    "negative guidance": (lambda b: b.setting("guidance=-1"), 2, ["guidance", "0 or more"]),
    "guidance that is no number": (lambda b: b.setting("guidance=NaN"), 2, ["guidance", "finite"]),
    "a request beside flags": (
        lambda b: [*b.request_with(), "--edit", "1=a cup", "--seed", "3"],
        2,
        ["--edit, --seed", "leave --request out"],
    ),
    "a missing request": (lambda b: ["--request", "no.json", "-o", b.out], 2, ["no.json", "path"]),
    "a request that is no JSON": (lambda b: b.request("{"), 2, ["edit.json", "valid JSON"]),
    "a request of another form": (
        lambda b: b.request_with(instances=[{"id": 1, "captoin": "a cup"}]),
        2,
        ["instances[0].caption", "captoin"],
    ),
    "a request of a newer version": (lambda b: b.request_with(version=2), 2, ["version", "newer"]),
    # clip and mattes
    "a missing clip": (lambda b: b.edit(clip=b.folder / "no.mov"), 3, ["no.mov", "path"]),
    "a clip that is text": (lambda b: b.edit(clip=text_file(b)), 3, ["notes.mp4"]),
    "a clip without frames": (lambda b: b.edit(clip=no_frames(b)), 3, ["none.mkv", "Check"]),
    "a range outside the clip": (lambda b: b.edit("--frames", "1-9"), 3, ["1-9", "0-2"]),
    "missing mattes": (lambda b: b.edit(mattes=b.folder / "no"), 3, ["mattes", "/no", "path"]),
    "an instance that is not in the mattes": (
        lambda b: b.edit(edit="9=a cup"),
        3,
        ["Instance 9", "1, 2", "Change the instance's id"],
    ),
    "mattes of another size": (
        lambda b: b.edit(mattes=smaller_mattes(b)),
        3,
        ["32x32", "64x64", "--matte-fit fit"],
    ),
    "fewer mattes than frames": (
        lambda b: b.edit(mattes=fewer_mattes(b)),
        3,
        ["numbered", "have none", "--matte-fit fit"],
    ),
    "mattes that are a JPEG": (
        lambda b: b.edit("--frames", "0", mattes=soft_mattes(b)),
        3,
        ["JPEG", "PNG"],
    ),
    # the bundle
    "an unknown bundle": (lambda b: b.edit(bundle="tinny"), 4, ["tinny", '"tiny" is meant']),
    "a bundle that is a folder of anything": (lambda b: b.edit(bundle=b.mattes), 4, ["not a model"]),
    "corrupt weights": (lambda b: b.broken_bundle(cut_weights), 4, ["unet", "corrupt", "Copy"]),
    "a bundle without a part": (lambda b: b.broken_bundle(without_vae), 4, ["vae", "missing"]),
    "pickled weights": (lambda b: b.broken_bundle(pickled_vae), 4, ["pickled", "convert"]),
    # the output
    "an output inside a file": (lambda b: b.edit(out=inside_a_file(b)), 5, ["file", "Choose"]),
    "an output over the source": (lambda b: b.edit(out=b.clip), 5, ["source", "another name"]),
    "an output that is a folder": (
        lambda b: b.edit("--frames", "0-1", out=(b.folder / "x.mkv")),
        5,
        ["x.mkv is a folder", "Name a file"],
    ),
    "an unknown suffix": (
        lambda b: b.edit(out=b.folder / "edited.gif"),
        5,
        ["edited.gif", "Rename the output"],
    ),
    # the model
    "a device that is not there": (lambda b: b.setting("device=cuda:77"), 6, ["cuda:77", '"cpu"']),
    "a device of no kind": (lambda b: b.setting("device=gpu"), 2, ['"gpu"', "mive doctor"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_clear_sentence(mive: Run, bench: Bench, case: str) -> None:
    break_it, code, words = CASES[case]
    if case == "an output that is a folder":
        (bench.folder / "x.mkv").mkdir()
    arguments = break_it(bench)
    before = bench.snapshot()

    done = mive("edit", *arguments)

    assert done.code == code, done.err
    message = done.err.splitlines()[-1]
    assert message.startswith("Error: ")
    assert [word for word in words if word not in message] == []
    assert "Traceback" not in done.err
    assert done.out == ""
    assert bench.snapshot() == before
    assert not list(bench.folder.rglob("*.partial"))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file grows beyond ``size`` bytes inside the block, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["edited.mkv", "frames"])
def test_a_full_disk_leaves_nothing(mive: Run, bench: Bench, name: str) -> None:
    arguments = bench.edit("--quiet", out=bench.folder / name)
    before = bench.snapshot()
    with largest_file(2000):
        done = mive("edit", *arguments)
    assert done.code == 5, done.err
    assert name in done.err
    assert "Free some space" in done.err or "Choose another output" in done.err
    assert bench.snapshot() == before
    assert not (bench.folder / name).exists()


def test_errors_are_json_where_json_was_asked_for(mive: Run, bench: Bench) -> None:
    done = mive("edit", *bench.setting("step=3"), "--json")
    assert done.code == 2
    assert done.json["error"] == "RequestError"
    assert done.json["field"] == "settings.step"
    assert done.json["fix"] == 'Perhaps "steps" is meant'
    assert done.err == ""


def test_even_an_unknown_option_is_json(mive: Run) -> None:
    done = mive("edit", "--nope", "--json")
    assert done.code == 2
    assert "--nope" in done.json["what"]


def test_an_error_of_mives_own_is_one_sentence(mive: Run, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("mive.edit.run_edit", fail)
    done = mive("edit", *bench.edit())
    assert done.code == 1
    assert "ZeroDivisionError: by nothing" in done.err
    assert "--debug" in done.err
    assert "Traceback" not in done.err
    assert "Traceback" in mive("edit", *bench.edit("--debug")).err


def test_without_torch_it_says_how_to_get_it(mive: Run, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mive.console.needs.find_spec", lambda name: None if name == "torch" else name)
    for command in (["edit", *bench.edit()], ["demo", "--out", bench.folder / "demo"]):
        done = mive(*command)
        assert done.code == 4
        assert "torch is not installed" in done.err
        assert 'pip install "mive[server]"' in done.err
