"""Whole edits with random weights: what must hold whatever the model draws."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mive.base.progress import Clock, Progress
from mive.edit import EditResult, run_edit
from mive.editing.checkpoint import Checkpoint
from mive.editing.editor import Editor
from mive.editing.inversions import InversionCache
from mive.errors import MatteError, MediaError, OutputError
from mive.manifest import Manifest, read_manifest
from mive.media import content_hash, open_clip, open_mattes
from mive.media.video import VideoClip
from mive.request import EditRequest, FrameRange, Instance, Settings

ONE = FrameRange(0, 0)
QUICK = Settings(preset="draft", steps=2, inversion_steps=4, model_size=64, guidance=2.0)
FAST = Settings(preset="fast", steps=3, model_size=64, guidance=2.0)


def request(shot: Path, bundle: Path, **changes: object) -> EditRequest:
    instances = (Instance(id=1, caption="a green cube"), Instance(id=2, caption="a yellow ball"))
    values: dict[str, object] = {
        "clip": str(shot / "clip.mkv"), "mattes": str(shot / "mattes"), "instances": instances,
        "bundle": str(bundle), "settings": QUICK,
    }  # fmt: skip
    return EditRequest(**{**values, **changes})  # type: ignore[arg-type]


def frames_of(path: Path) -> list[NDArray[np.generic]]:
    return list(open_clip(str(path)).read())


def test_only_pixels_inside_the_mattes_change(shot: Path, bundle: Path, tmp_path: Path) -> None:
    asked = request(shot, bundle)
    result = run_edit(asked, tmp_path / "out.mkv")
    source, edited = frames_of(shot / "clip.mkv"), frames_of(tmp_path / "out.mkv")
    info = open_clip(asked.clip).info
    mattes = open_mattes(asked.mattes, asked.instances, info, FrameRange(0, 5), "exact")
    assert result.frames == len(edited) == 6
    for before, after, alpha in zip(source, edited, mattes, strict=True):
        outside = alpha.sum(0) == 0
        assert np.array_equal(before[outside], after[outside])
        assert (before[~outside] != after[~outside]).mean() > 0.5


@pytest.mark.parametrize("settings", [QUICK, FAST], ids=["usual", "fast"])
def test_the_manifest_renders_the_same_frames_again(
    shot: Path, bundle: Path, tmp_path: Path, settings: Settings
) -> None:
    first = run_edit(request(shot, bundle, settings=settings), tmp_path / "a.mkv")
    again = run_edit(read_manifest(first.manifest).rerender_request(), tmp_path / "b.mkv")
    assert read_manifest(first.manifest).frames_hash == read_manifest(again.manifest).frames_hash
    assert all(np.array_equal(a, b) for a, b in zip(frames_of(first.out), frames_of(again.out), strict=True))


def test_the_clip_is_decoded_twice_and_no_more(
    shot: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, decoded = VideoClip._decode, Counter[int]()

    def counted(clip: VideoClip, first: int, last: int) -> Iterator[NDArray[np.generic]]:
        for index, frame in enumerate(decode(clip, first, last), first):
            decoded[index] += clip.info.path == shot / "clip.mkv"
            yield frame

    monkeypatch.setattr(VideoClip, "_decode", counted)
    result = run_edit(request(shot, bundle), tmp_path / "out.mkv")
    monkeypatch.undo()
    assert decoded == dict.fromkeys(range(6), 2), "for the model, and to paste over"
    assert read_manifest(result.manifest).source_hash == content_hash(open_clip(shot / "clip.mkv"))


def test_new_captions_do_not_invert_again(shot: Path, bundle: Path, tmp_path: Path) -> None:
    cache = InversionCache(tmp_path / "cache")

    def stages(asked: EditRequest, name: str) -> list[Progress]:
        seen: list[Progress] = []
        run_edit(asked, tmp_path / name, report=seen.append, cache=cache)
        return [p for p in seen if p.stage == "inversion"]

    assert len(stages(request(shot, bundle), "a.mkv")) == 4
    other = (Instance(id=1, caption="a black star"),)
    assert len(stages(request(shot, bundle, instances=other), "b.mkv")) == 1
    plain = run_edit(request(shot, bundle, instances=other), tmp_path / "c.mkv")
    assert read_manifest(plain.manifest).frames_hash == read_manifest(tmp_path / "b.mkv.manifest.json").frames_hash


@pytest.mark.parametrize("part", ["scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json"])
def test_whatever_shapes_an_inversion_makes_a_new_one(shot: Path, bundle: Path, tmp_path: Path, part: str) -> None:
    """A file that changes, be it by a space, is another model; the depth estimator has no say in the inversion."""
    shutil.copytree(bundle, tmp_path / "other")
    cache, asked = InversionCache(tmp_path / "cache"), request(shot, tmp_path / "other", frames=ONE)

    def inversions(name: str) -> int:
        run_edit(asked, tmp_path / name, cache=cache)
        return len(list((tmp_path / "cache").iterdir()))

    def touch(path: str) -> None:
        changed = tmp_path / "other" / path
        changed.write_text(changed.read_text() + " ")

    assert inversions("a.mkv") == 1
    touch("depth/preprocessor_config.json")
    assert inversions("b.mkv") == 1
    touch(part)
    assert inversions("c.mkv") == 2


def test_an_edit_needs_no_clip(shot: Path, bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "other", ignore=shutil.ignore_patterns("clip"))
    (tmp_path / "other" / "bundle.json").write_text("{}")  # so that no part is looked for on the hub
    result = run_edit(request(shot, tmp_path / "other", frames=ONE), tmp_path / "out.mkv")
    parts = {name.split("/")[0] for name in read_manifest(result.manifest).bundle.files}
    assert parts == {"unet", "vae", "text_encoder", "controlnet", "depth", "tokenizer", "scheduler"}


def test_a_damaged_cache_is_only_slower(shot: Path, bundle: Path, tmp_path: Path) -> None:
    cache = InversionCache(tmp_path / "cache")
    first = run_edit(request(shot, bundle), tmp_path / "a.mkv", cache=cache)
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    again = run_edit(request(shot, bundle), tmp_path / "b.mkv", cache=cache)
    assert read_manifest(first.manifest).frames_hash == read_manifest(again.manifest).frames_hash


def test_windows_give_every_frame_and_leave_the_plate(shot: Path, bundle: Path, tmp_path: Path) -> None:
    windowed = QUICK.model_copy(update={"window": 3, "overlap": 1})
    run_edit(request(shot, bundle, settings=windowed), tmp_path / "out.mkv")
    edited = frames_of(tmp_path / "out.mkv")
    source = frames_of(shot / "clip.mkv")
    assert len(edited) == 6
    assert all(np.array_equal(a[:8], b[:8]) for a, b in zip(source, edited, strict=True))


@pytest.mark.parametrize(
    ("base", "framing"), [(QUICK, "whole"), (QUICK, "close"), (FAST, "whole")], ids=["whole", "close", "fast"]
)
def test_going_on_from_any_checkpoint_gives_the_same_frames(
    shot: Path, bundle: Path, base: Settings, framing: str
) -> None:
    windowed = base.model_copy(update={"window": 3, "overlap": 1, "framing": framing})
    asked = request(shot, bundle, settings=windowed)
    clip, frames = open_clip(asked.clip), FrameRange(0, 5)
    mattes = open_mattes(asked.mattes, asked.instances, clip.info, frames, "exact")
    settings = asked.settings.resolved({})
    editor = Editor.load(asked, settings, bundle, InversionCache(None), Clock())
    kept: list[Checkpoint] = []
    views = editor.frame(mattes)
    whole = list(editor.run(clip, mattes, views, lambda p: None, keep=kept.append))
    for checkpoint in (kept[0], kept[len(kept) // 2], kept[-1]):
        rest = list(editor.run(clip, mattes, views, lambda p: None, start=checkpoint))
        assert all(np.array_equal(a, b) for a, b in zip(whole[-len(rest) :], rest, strict=True))
    assert any(checkpoint.window and checkpoint.state is None for checkpoint in kept)


def test_a_frame_range_edits_just_that(shot: Path, bundle: Path, tmp_path: Path) -> None:
    result = run_edit(request(shot, bundle, frames=FrameRange(2, 4)), tmp_path / "seq")
    assert result.frames == 3
    assert len(list((tmp_path / "seq").glob("*.png"))) == 3
    assert read_manifest(result.manifest).frames == FrameRange(2, 4)


@pytest.mark.parametrize("ipr", ["none", "dense_diffusion"])
@pytest.mark.parametrize("mode", ["instance", "global"])
def test_ablations_run(shot: Path, bundle: Path, tmp_path: Path, ipr: str, mode: str) -> None:
    settings = QUICK.model_copy(update={"ipr": ipr, "caption_mode": mode, "plan": "nps_only"})
    asked = request(shot, bundle, settings=settings, global_caption="a green cube and a yellow ball")
    assert run_edit(asked, tmp_path / "out.mkv").frames == 6


def test_a_variation_differs_by_seed_and_repeats(shot: Path, bundle: Path, tmp_path: Path) -> None:
    def render(seed: int, name: str) -> str | None:
        settings = QUICK.model_copy(update={"variation": 0.8, "seed": seed})
        result = run_edit(request(shot, bundle, settings=settings), tmp_path / name)
        return read_manifest(result.manifest).frames_hash

    assert render(1, "a.mkv") == render(1, "b.mkv") != render(2, "c.mkv")


def test_a_guidance_factor_makes_the_frames_of_that_guidance(shot: Path, bundle: Path, tmp_path: Path) -> None:
    def render(name: str, own: float, **settings: float) -> Manifest:
        instances = (Instance(id=1, caption="a ball"), Instance(id=2, caption="a cube", guidance=own))
        asked = request(shot, bundle, settings=QUICK.model_copy(update=settings), instances=instances, frames=ONE)
        return read_manifest(run_edit(asked, tmp_path / name).manifest)

    usual, twice = render("usual.mkv", own=1.5), render("twice.mkv", own=1.5, guidance_factor=2.0)
    assert render("one.mkv", own=1.5, guidance_factor=1.0).frames_hash == usual.frames_hash != twice.frames_hash
    assert render("said.mkv", own=3.0, guidance=4.0).frames_hash == twice.frames_hash
    again = run_edit(twice.rerender_request(), tmp_path / "again.mkv")
    assert read_manifest(again.manifest).frames_hash == twice.frames_hash


def test_one_global_caption_heeds_no_instance(shot: Path, bundle: Path, tmp_path: Path) -> None:
    """The caption is the whole frame's, and so are guidance and λ."""

    def render(name: str, **own: float) -> str | None:
        settings = QUICK.model_copy(update={"caption_mode": "global"})
        instances = (Instance(id=1, caption="a cube", **own),)  # type: ignore[arg-type]
        asked = request(shot, bundle, settings=settings, instances=instances, global_caption="a ball", frames=ONE)
        return read_manifest(run_edit(asked, tmp_path / name).manifest).frames_hash

    assert render("a.mkv") == render("b.mkv", guidance=9.0, lambda_r=0.1)


def test_writing_is_told_frame_by_frame(shot: Path, bundle: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    windowed = QUICK.model_copy(update={"window": 4, "overlap": 1})
    run_edit(request(shot, bundle, settings=windowed), tmp_path / "out.mkv", report=seen.append)
    assert [(p.done, p.total) for p in seen if p.stage == "write"] == [(k + 1, 6) for k in range(6)]


@pytest.mark.parametrize("stage", ["load", "inversion", "sampling", "write"])
def test_stopping_anywhere_leaves_nothing(shot: Path, bundle: Path, tmp_path: Path, stage: str) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_edit(request(shot, bundle), tmp_path / "out.mkv", report=stop)
    assert list(tmp_path.iterdir()) == []


def test_media_faults_come_before_the_model_loads(shot: Path, tmp_path: Path) -> None:
    """The bundle is hollow, and yet it is the range or the matte that is complained about."""
    (tmp_path / "bundle.json").write_text('{"name": "hollow", "model_size": 64}')

    def attempt(**changes: object) -> EditResult:
        return run_edit(request(shot, tmp_path, **changes), tmp_path / "out.mkv")

    with pytest.raises(MediaError, match="ends with frame 5"):
        attempt(frames=FrameRange(4, 9))
    with pytest.raises(MatteError, match="7"):
        attempt(instances=(Instance(id=7, caption="a red ball"),))


@pytest.mark.slow
def test_real_footage_keeps_its_plate(shared: Callable[[str], Path], bundle: Path, tmp_path: Path) -> None:
    """1280 × 720 with a matte that empties: outside the mattes every pixel is the source's."""
    cups = shared("clips/cups")
    captions = {1: "a green cup", 2: "a blue ball", 3: "a red cup", 4: "a black cup"}
    instances = tuple(Instance(id=i, caption=caption) for i, caption in captions.items())
    asked = EditRequest(
        clip=str(cups / "cups.mp4"), mattes=str(cups / "mattes"), instances=instances, bundle=str(bundle),
        frames=FrameRange(20, 23), settings=QUICK,
    )  # fmt: skip
    run_edit(asked, tmp_path / "out.mkv")
    clip = open_clip(asked.clip)
    mattes = open_mattes(asked.mattes, instances, clip.info, FrameRange(20, 23), "exact")
    for before, after, alpha in zip(
        clip.read(FrameRange(20, 23)), frames_of(tmp_path / "out.mkv"), mattes, strict=True
    ):
        assert np.array_equal(before[alpha.sum(0) == 0], after[alpha.sum(0) == 0])


def test_a_manifest_that_cannot_be_written_does_not_lose_the_output(
    shot: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OutputError("there is no space left", fix="Make room")

    monkeypatch.setattr("mive.edit.write_manifest", fail)
    with pytest.raises(OutputError, match=r"is complete, but its manifest is not.*Make room"):
        run_edit(request(shot, bundle), tmp_path / "out.mkv")
    assert len(frames_of(tmp_path / "out.mkv")) == 6
