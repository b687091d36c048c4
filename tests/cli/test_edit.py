"""``mive edit`` on a bundle whose weights are random: everything but the beauty of the result."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.commands import Run

from mive.evaluate.toyworld.clip import ToyClip
from mive.manifest import read_manifest
from mive.media import open_clip, open_mattes, open_writer
from mive.request import EditRequest, FrameRange, Instance, Settings


def test_an_edit_changes_its_instances_and_no_other_pixel(
    mive: Run, quick: list[str | Path], toy: ToyClip, tmp_path: Path
) -> None:
    out = tmp_path / "edited.mkv"
    assert mive("edit", *quick, "-o", out).code == 0
    source = open_clip(toy.videos[0])
    chosen = [Instance(id=1, caption="x"), Instance(id=2, caption="x")]
    mattes = open_mattes(str(toy.mattes), chosen, source.info, FrameRange(0, 2), "exact")
    for before, after, matte in zip(source.read(), open_clip(out).read(), mattes, strict=True):
        outside = matte.sum(0) == 0
        assert np.array_equal(before[outside], after[outside])
        assert (before[~outside] != after[~outside]).any()


def test_the_flags_become_the_request_of_the_manifest(
    mive: Run, quick: list[str | Path], toy: ToyClip, bundle: Path, tmp_path: Path
) -> None:
    more = ["--source", "2=a green star", "--frames", "1-2", "--preset", "draft", "--seed", "7"]
    more += ["--set", "lambda=0.3", "--set", "device=cpu", "--matte-fit", "fit"]
    assert mive("edit", *quick, *more, "-o", tmp_path / "edited.mkv").code == 0
    manifest = read_manifest(tmp_path / "edited.mkv.manifest.json")
    assert manifest.request == EditRequest(
        clip=str(toy.videos[0]),
        mattes=str(toy.mattes),
        frames=FrameRange(1, 2),
        instances=(
            Instance(id=1, caption="a red ball"),
            Instance(id=2, caption="a blue cup", source_caption="a green star"),
        ),
        bundle=str(bundle),
        settings=Settings(
            preset="draft", seed=7, steps=2, inversion_steps=2, lambda_=0.3, device="cpu",
            matte_fit="fit",
        ),
    )  # fmt: skip


def test_a_request_file_makes_the_same_frames_as_flags(
    mive: Run, quick: list[str | Path], bundle: Path, tmp_path: Path
) -> None:
    request = {
        "clip": "toy/source.mkv",
        "mattes": "toy/mattes",
        "instances": [{"id": 1, "caption": "a red ball"}, {"id": 2, "caption": "a blue cup"}],
        "bundle": str(bundle),
        "settings": {"steps": 2, "inversion_steps": 2},
    }
    (tmp_path / "edit.json").write_text(json.dumps(request))
    by_flags = mive("edit", *quick, "-o", tmp_path / "a.mkv", "--json").json
    by_file = mive("edit", "--request", tmp_path / "edit.json", "-o", tmp_path / "b.mkv", "--json")
    hashes = [read_manifest(Path(e["manifest"])).frames_hash for e in (by_flags, by_file.json)]
    assert hashes[0] == hashes[1]


def test_own_mattes_stand_in_for_id_mattes(mive: Run, toy: ToyClip, bundle: Path, tmp_path: Path) -> None:
    """The ID matte read as coverage is faint, but its own."""
    out = tmp_path / "edited.mkv"
    done = mive(
        "edit", toy.videos[0], "--matte", f"1={toy.mattes}", "--edit", "1=a red ball",
        "--bundle", bundle, "--set", "steps=1", "--set", "inversion_steps=1", "-o", out,
    )  # fmt: skip
    assert done.code == 0
    assert read_manifest(Path(f"{out}.manifest.json")).request.instances[0].matte == str(toy.mattes)


def test_json_is_all_there_is_on_standard_output(mive: Run, quick: list[str | Path], tmp_path: Path) -> None:
    out = tmp_path / "frames"
    said = mive("edit", *quick, "--json", "-o", out).json
    assert said["out"] == str(out)
    assert said["manifest"] == str(out / "manifest.json")
    assert said["frames"] == len(list(out.glob("*.png"))) == 3
    assert said["seconds"]["total"] > 0


def test_quiet_says_nothing_while_it_runs(mive: Run, quick: list[str | Path], tmp_path: Path) -> None:
    done = mive("edit", *quick, "--quiet", "-o", tmp_path / "edited.mkv")
    assert done.err == ""
    assert "3 frames" in done.out


def test_ids_that_are_linked_are_edited_as_one(mive: Run, quick: list[str | Path], tmp_path: Path) -> None:
    first = quick.index("--edit")
    linked = [*quick[:first], "--edit", "1 + 2=a red ball", *quick[first + 4 :]]
    assert mive("edit", *linked, "--frames", "0", "-o", tmp_path / "edited.mkv").code == 0
    (thing,) = read_manifest(tmp_path / "edited.mkv.manifest.json").request.instances
    assert (thing.id, thing.linked, thing.caption) == (1, (2,), "a red ball")
    for wrong in ("1+=a red ball", "1+2", "+2=a red ball"):
        done = mive("edit", *quick[:first], "--edit", wrong, "-o", tmp_path / "other.mkv")
        assert done.code == 2
        assert wrong in done.err


def test_the_second_edit_of_a_clip_takes_its_inversion_from_the_cache(
    mive: Run, quick: list[str | Path], tmp_path: Path
) -> None:
    def steps(*more: str) -> str:
        err: str = mive("edit", *quick, *more, "-o", tmp_path / "edited.mkv").err
        return "\n".join(line for line in err.splitlines() if line.startswith("inverting"))

    assert "2/2" in steps()
    assert "2/2" not in steps()
    assert "2/2" in steps("--no-cache")


def test_the_codec_can_differ_from_the_suffixs(mive: Run, quick: list[str | Path], tmp_path: Path) -> None:
    out = tmp_path / "edited.mkv"
    assert mive("edit", *quick, "--codec", "h264", "-o", out).code == 0
    import av

    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_a_caption_beyond_77_tokens_is_a_warning(mive: Run, quick: list[str | Path], tmp_path: Path) -> None:
    quick[quick.index("1=a red ball")] = "1=" + "a red ball " * 30
    done = mive("edit", *quick, "-o", tmp_path / "edited.mkv")
    assert done.code == 0
    assert "Warning:" in done.err
    assert "longer than the model takes" in done.err


@pytest.fixture
def plates(toy: ToyClip, tmp_path: Path) -> Path:
    """The toy's frames as numbered images, which say no rate."""
    clip = open_clip(toy.videos[0])
    with open_writer(tmp_path / "plates", clip.info, FrameRange(0, 2)) as writer:
        for frame in clip.read():
            writer.write(frame)
    return tmp_path / "plates"


def test_a_warning_is_said_once_before_the_first_step_and_kept(
    mive: Run, quick: list[str | Path], plates: Path, tmp_path: Path
) -> None:
    done = mive("edit", plates, *quick[1:], "-o", tmp_path / "edited.mov")
    assert done.code == 0
    lines = done.err.splitlines()
    (place,) = [number for number, line in enumerate(lines) if "frames a second" in line]
    assert lines[place].startswith("Warning: ")
    assert place < min(number for number, line in enumerate(lines) if line.startswith("editing"))
    assert any("frames a second" in text for text in read_manifest(tmp_path / "edited.mov.manifest.json").warnings)


@pytest.mark.parametrize("how", ["--quiet", "--json"])
def test_a_warning_is_said_at_the_end_where_nothing_else_is(
    mive: Run, quick: list[str | Path], plates: Path, tmp_path: Path, how: str
) -> None:
    done = mive("edit", plates, *quick[1:], "-o", tmp_path / "edited.mov", how)
    said = json.loads(done.out)["warnings"] if how == "--json" else done.err.splitlines()
    assert sum("frames a second" in text for text in said) == 1


def test_with_strict_a_warning_is_an_error_and_rate_is_the_way_out(
    mive: Run, quick: list[str | Path], plates: Path, tmp_path: Path
) -> None:
    strict = mive("edit", plates, *quick[1:], "-o", tmp_path / "edited.mov", "--strict")
    assert strict.code == 5
    assert "--rate" in strict.err
    assert not (tmp_path / "edited.mov").exists()
    said = mive("edit", plates, *quick[1:], "-o", tmp_path / "edited.mov", "--strict", "--rate", "23.976")
    assert said.code == 0
    assert open_clip(tmp_path / "edited.mov").info.rate == Fraction(24000, 1001)
    assert read_manifest(tmp_path / "edited.mov.manifest.json").warnings == ()


def test_the_request_file_is_not_written_over(mive: Run, toy: ToyClip, tmp_path: Path) -> None:
    request = {
        "clip": str(toy.videos[0]), "mattes": str(toy.mattes), "instances": [{"id": 1, "caption": "a cup"}],
    }  # fmt: skip
    out = tmp_path / "shot.mkv"
    file = tmp_path / "shot.mkv.manifest.json"
    file.write_text(json.dumps(request))
    done = mive("edit", "--request", file, "-o", out)
    assert done.code == 5
    assert "written over" in done.err
    assert json.loads(file.read_text()) == request


@pytest.mark.parametrize("rate", ["0", "-24", "24/0", "fast", "24,5", "5000"])
def test_what_is_no_rate_is_refused(mive: Run, quick: list[str | Path], tmp_path: Path, rate: str) -> None:
    done = mive("edit", *quick, "-o", tmp_path / "edited.mov", f"--rate={rate}")
    assert done.code == 2
    assert "no frame rate" in done.err
