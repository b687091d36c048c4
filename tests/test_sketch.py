"""Sketches come before the inversion, and previews show the source wherever nothing is edited."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tests.test_edit import QUICK, request

from mive.cache import InversionCache
from mive.edit import open_shot
from mive.editor import Editor
from mive.engines.denoiser import Call, Conditions
from mive.preview import Preview, Previews, WindowPreview
from mive.progress import Clock, Progress
from mive.request import EditRequest
from mive.sampling import Edits, Sampler
from mive.schedule import Grids, NoiseSchedule
from mive.sketch import STEPS, Sketcher

Told = list[tuple[str, int]]


def watched(asked: EditRequest, cache: InversionCache) -> tuple[Told, list[Preview]]:
    """What an edit with previews after every step tells, in order: stages, and previews with their step."""
    told: Told = []
    images: list[Preview] = []

    def tell(preview: Preview, done: int, total: int) -> None:
        told.append(("preview", done))
        images.append(preview)

    def report(progress: Progress) -> None:
        told.append((progress.stage, progress.done))

    shot = open_shot(asked)
    editor = Editor.load(asked, shot.settings, shot.folder, cache, Clock())
    for _ in editor.run(shot.clip, shot.mattes, shot.frames, report, previews=Previews(1, tell)):
        pass
    return told, images


def test_every_instance_is_sketched_before_the_inversion_begins(shot: Path, bundle: Path) -> None:
    told, images = watched(request(shot, bundle), InversionCache(None))
    before = told[: told.index(("inversion", 1))]
    assert before.count(("preview", 0)) == 2
    assert {preview.instance for preview in images[:2]} == {0, 1}
    assert ("preview", 1) in told


def test_a_known_inversion_needs_no_sketch(shot: Path, bundle: Path, tmp_path: Path) -> None:
    cache = InversionCache(tmp_path)
    assert ("preview", 0) in watched(request(shot, bundle), cache)[0]
    told, _ = watched(request(shot, bundle), cache)
    assert ("preview", 0) not in told
    assert ("preview", 1) in told


def test_only_the_first_window_is_sketched(shot: Path, bundle: Path) -> None:
    settings = QUICK.model_copy(update={"window": 4, "overlap": 1})
    told, _ = watched(request(shot, bundle, settings=settings), InversionCache(None))
    assert told.count(("preview", 0)) == 2
    assert told.count(("conditions", 2)) >= 1, "there was a second window"


def test_a_sketch_can_be_stopped(shot: Path, bundle: Path) -> None:
    asked = request(shot, bundle)
    opened = open_shot(asked)
    editor = Editor.load(asked, opened.settings, opened.folder, InversionCache(None), Clock())
    reports = 0

    def report(progress: Progress) -> None:
        nonlocal reports
        reports += progress.stage == "conditions" and progress.done == 1
        if reports == 2:
            raise KeyboardInterrupt

    previews = Previews(1, lambda preview, done, total: pytest.fail("it was shown"))
    with pytest.raises(KeyboardInterrupt):
        next(editor.run(opened.clip, opened.mattes, opened.frames, report, previews=previews))


class Constant:
    """A denoiser that says the same of everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def output(self, call: Call, conditions: Conditions) -> torch.Tensor:
        self.calls.append(call)
        assert conditions.hint is None or len(conditions.hint) == call.z.shape[1]
        return torch.full_like(call.z, 0.5)


def sampler(denoiser: Constant) -> Sampler:
    schedule = NoiseSchedule.from_config({})
    masks = torch.zeros(2, 3, 1, 8, 8)
    masks[0, :, :, :4], masks[1, :, :, 6:] = 1, 1
    edits = Edits(("a red ball", "a cube"), (7.0, 5.0), (0.4, 0.2), (0.6, 0.5))
    conditions = Conditions(torch.zeros(3, 1, 8, 8), {(8, 8): masks[:, :, 0].bool()}, {(8, 8): torch.zeros(192, 3)})
    grids = Grids(tuple(range(950, -50, -50)), ())
    return Sampler(denoiser, schedule, grids, edits, conditions, masks, {})


def test_a_sketch_edits_one_frame_of_one_instance_in_a_few_steps() -> None:
    denoiser = Constant()
    z_0 = torch.randn(3, 4, 8, 8)
    sketched = Sketcher(sampler(denoiser), seed=1).sketch(z_0, instance=1, frame=2)
    assert len({call.t for call in denoiser.calls}) == STEPS
    assert {call.captions for call in denoiser.calls if len(call.captions) > 1} == {("a cube", "")}
    assert all(call.z.shape[1] == 1 for call in denoiser.calls)
    assert torch.equal(sketched[:, :6], z_0[2, :, :6]), "outside its mask it is the source"
    assert (sketched[:, 6:] != z_0[2, :, 6:]).all()


def test_a_sketch_is_the_same_again_and_another_with_another_seed() -> None:
    z_0 = torch.randn(3, 4, 8, 8)
    once, again, other = (Sketcher(sampler(Constant()), seed).sketch(z_0, 0, 0) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_a_preview_shows_the_source_around_an_instance() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.random((1, 64, 64, 3), np.float32)
    masks = torch.zeros(1, 1, 1, 8, 8)
    masks[..., 2:4, 2:4] = 1
    z_0 = torch.from_numpy(cv2.resize(pixels[0], (8, 8), interpolation=cv2.INTER_AREA)).permute(2, 0, 1)[None]
    (preview,) = WindowPreview(pixels, z_0, masks).before(lambda instance, frame: torch.ones(3, 8, 8))
    source = cv2.resize(pixels[0, :48, :48], preview.image.shape[1::-1], interpolation=cv2.INTER_AREA) * 255
    height = preview.image.shape[0]
    assert np.abs(preview.image[: height // 6].astype(float) - source[: height // 6]).max() <= 1
    assert preview.image[height // 2, height // 2].min() == 255, "the edit is white"
