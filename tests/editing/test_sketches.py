"""Sketches come before the inversion, and previews show the source wherever nothing is edited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.test_edit import QUICK, request

from mive.attention.ipr import IprStrength, ipr_strength
from mive.base.progress import Clock, Progress
from mive.edit import open_shot
from mive.editing.editor import Editor
from mive.editing.inversions import InversionCache
from mive.editing.previews import Preview, Previews, ViewPreview
from mive.editing.sketches import STEPS, Sketcher
from mive.errors import EngineError
from mive.method.denoiser import Call, Conditions
from mive.method.sampling import Edits, Sampler
from mive.method.schedule import Grids, NoiseSchedule
from mive.request import EditRequest, FrameRange, Settings

SETTINGS = Settings(preset="draft", model_size=64).resolved({})
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
    for _ in editor.run(shot.clip, shot.mattes, editor.frame(shot.mattes), report, previews=Previews(1, tell)):
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
    second = told[told.index(("conditions", 1), told.index(("write", 1))) :]
    stages = [stage for stage, _ in second]
    assert "preview" not in stages[: stages.index("inversion")]
    assert "preview" in stages


def test_a_sketch_can_be_stopped(shot: Path, bundle: Path) -> None:
    asked = request(shot, bundle)
    opened = open_shot(asked)
    editor = Editor.load(asked, opened.settings, opened.folder, InversionCache(None), Clock())
    reports = 0

    def report(progress: Progress) -> None:
        nonlocal reports
        reports += progress.stage == "conditions" and progress.done > 0
        if reports == 1:
            raise KeyboardInterrupt

    previews = Previews(1, lambda preview, done, total: pytest.fail("it was shown"))
    with pytest.raises(KeyboardInterrupt):
        next(editor.run(opened.clip, opened.mattes, editor.frame(opened.mattes), report, previews=previews))


def test_where_the_inversion_is_as_quick_nothing_is_sketched(shot: Path, bundle: Path) -> None:
    told, _ = watched(request(shot, bundle, frames=FrameRange(0, 0)), InversionCache(None))
    assert ("preview", 0) not in told
    assert ("preview", 1) in told


def test_a_sketch_that_fails_leaves_the_edit_alone(shot: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> torch.Tensor:
        raise EngineError("the latents are no longer finite")

    monkeypatch.setattr(Sketcher, "sketch", fail)
    told, _ = watched(request(shot, bundle), InversionCache(None))
    assert ("preview", 0) not in told
    assert ("preview", 1) in told


def test_previews_change_no_frame(shot: Path, bundle: Path) -> None:
    def frames(previews: Previews | None) -> list[NDArray[np.generic]]:
        asked = request(shot, bundle)
        opened = open_shot(asked)
        editor = Editor.load(asked, opened.settings, opened.folder, InversionCache(None), Clock())
        framing = editor.frame(opened.mattes)
        return list(editor.run(opened.clip, opened.mattes, framing, lambda _: None, previews=previews))

    seen: list[Preview] = []
    with_previews = frames(Previews(1, lambda preview, done, total: seen.append(preview)))
    assert seen
    np.testing.assert_array_equal(with_previews, frames(None))


class Constant:
    """A denoiser that says the same of everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def output(self, call: Call, conditions: Conditions) -> torch.Tensor:
        self.calls.append(call)
        assert conditions.hint is None or len(conditions.hint) == call.z.shape[1]
        return torch.full_like(call.z, 0.5)


def steered(s: int, t: int, steps: int, items: Sequence[int], /) -> IprStrength:
    """The first instance by 0.4, the second by 0.2."""
    return ipr_strength(s, steps, [(0.4, 0.2)[i] for i in items], 0.6)


def sampler(denoiser: Constant, steps: int = 20) -> Sampler:
    schedule = NoiseSchedule.from_config({})
    masks = torch.zeros(2, 3, 1, 8, 8)
    masks[0, :, :, :4], masks[1, :, :, 6:] = 1, 1
    edits = Edits(("a red ball", "a cube"), (7.0, 5.0), steered)
    conditions = Conditions(torch.zeros(3, 1, 8, 8), {(8, 8): masks[:, :, 0].bool()}, {(8, 8): torch.zeros(192, 3)})
    grids = Grids(tuple(range(999, -1, 1000 // -steps))[:steps], ())
    return Sampler(denoiser, schedule, grids, edits, conditions, masks, {})


def test_a_sketch_edits_one_frame_of_one_instance_in_a_few_steps() -> None:
    denoiser = Constant()
    z_0 = torch.randn(3, 4, 8, 8)
    told: list[tuple[int, int]] = []
    sketcher = Sketcher(sampler(denoiser), z_0, (0, 1), SETTINGS, lambda *done: told.append(done))
    sketched = sketcher.sketch(instance=1, frame=2)
    assert len({call.t for call in denoiser.calls}) == STEPS
    assert told == [(done, 2 * STEPS) for done in range(1, STEPS + 1)]
    assert {call.captions for call in denoiser.calls if len(call.captions) > 1} == {("a cube", "")}
    assert all(call.z.shape[1] == 1 for call in denoiser.calls)
    first = next(call.modulation for call in denoiser.calls if call.modulation)
    assert isinstance(first, IprStrength)
    assert (first.warm_up == 0.2).all(), "it is steered as that instance"
    assert torch.equal(sketched[:, :6], z_0[2, :, :6]), "outside its mask it is the source"
    assert (sketched[:, 6:] != z_0[2, :, 6:]).all()


def test_a_sketch_is_the_same_again_and_another_with_another_seed() -> None:
    z_0 = torch.randn(3, 4, 8, 8)
    once, again, other = (Sketcher(sampler(Constant()), z_0, (seed, 0), SETTINGS).sketch(0, 0) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6, 7, 10, 20, 50])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_sketch_takes_no_more_steps_than_it_says(steps: int, share: float) -> None:
    denoiser = Constant()
    settings = SETTINGS.model_copy(update={"ipr_share": share})
    sketcher = Sketcher(sampler(denoiser, steps), torch.zeros(3, 4, 8, 8), (0, 0), settings)
    sketcher.sketch(0, 0)
    asked = sorted({call.t for call in denoiser.calls}, reverse=True)
    assert min(steps, 3) <= len(asked) <= min(steps, STEPS)
    assert asked[0] == 999
    assert sketcher.forwards == 4 * len(asked)
    modulated = {call.t for call in denoiser.calls if call.modulation is not None}
    assert modulated == set(asked[: round(share * len(asked))])


def test_a_preview_shows_the_source_around_an_instance() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.random((1, 64, 64, 3), np.float32)
    masks = torch.zeros(1, 1, 1, 8, 8)
    masks[..., 2:4, 2:4] = 1
    z_0 = torch.from_numpy(cv2.resize(pixels[0], (8, 8), interpolation=cv2.INTER_AREA)).permute(2, 0, 1)[None]
    (preview,) = ViewPreview(pixels, z_0, masks).before(lambda instance, frame: torch.ones(3, 8, 8))
    source = cv2.resize(pixels[0, :48, :48], preview.image.shape[1::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1)
    height = preview.image.shape[0]
    assert np.abs(preview.image[: height // 6] - 255 * source[: height // 6]).max() <= 1
    assert preview.image[height // 2, height // 2].min() == 255, "the edit is white"
