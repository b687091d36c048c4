"""The demo, with an edit that is perfect, and with the one that ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mive.edit import EditResult
from mive.errors import OutputError
from mive.evaluate import demo
from mive.evaluate.toyworld import Renderer
from mive.evaluate.training.rendering import HELD_OUT_SEEDS
from mive.manifest import read_manifest
from mive.media import open_clip, open_writer
from mive.networks.bundle_files import BUNDLES_FOLDER
from mive.request import EditRequest, FrameRange

FILES = {"source.mp4", "ideal.mp4", "edited.mp4", "sheet.png", "scores.json", "manifest.json", "request.json"}


@pytest.fixture
def perfect(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the model, the toy world's own renderer."""

    def run(request: EditRequest, out: Path, **options: Any) -> EditResult:
        source = open_clip(request.clip)
        span = FrameRange(0, source.info.frames - 1)
        renderer = Renderer(demo.ideal_scene(demo.demo_scene()))
        with open_writer(out, source.info, span) as writer:
            for number in span.indices():
                writer.write(renderer.frame(number).image)
        manifest = out.with_name("manifest.json")
        manifest.write_text("{}")
        return EditResult(out, manifest, len(span), {"total": 1.5}, ())

    monkeypatch.setattr(demo, "run_edit", run)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    from tests.networks.sd15 import save_sd15

    return str(save_sd15(tmp_path_factory.mktemp("bundles") / "random"))


def test_the_scene_is_one_that_no_model_has_seen() -> None:
    assert demo.SEED >= HELD_OUT_SEEDS


def test_three_different_things_stay_in_view_and_become_something_else() -> None:
    scene = demo.demo_scene()
    assert len({thing.shape for thing in scene.things}) == 3
    renderer = Renderer(scene)
    for number in (0, demo.FRAMES - 1):
        ids = renderer.frame(number).ids
        assert min((ids == number).sum() for number in (1, 2, 3)) > 0.03 * ids.size
    for thing, instance in zip(scene.things, demo.demo_instances(scene), strict=True):
        assert instance.caption.endswith(thing.shape)
        assert instance.source_caption == thing.caption
        assert thing.colour not in instance.caption


@pytest.mark.usefixtures("perfect")
def test_everything_is_in_one_folder(bundle: str, tmp_path: Path) -> None:
    result = demo.run_demo(tmp_path / "demo", bundle=bundle)
    out = tmp_path / "demo"
    assert {path.name for path in out.iterdir()} >= FILES
    assert open_clip(result.source).info.frames == demo.FRAMES
    assert open_clip(result.edited).info.frames == demo.FRAMES
    assert len(list(result.mattes.glob("*.png"))) == demo.FRAMES
    scores = json.loads(result.scores.read_text())
    assert scores["seconds"] == 1.5
    eight = [scores[name] for name in ("gtc", "gtf", "fa", "ltc", "ltf", "ia", "cia", "bp")]
    assert None not in eight
    assert (scores["ideal"]["psnr"], scores["ideal"]["delta_e"]) == (100, 0)
    assert scores["ideal"]["share"] > 1, "a renderer has no VAE between it and the ideal"
    assert 0 < scores["ideal"]["ceiling"]["psnr"] < 60


@pytest.mark.usefixtures("perfect")
def test_the_request_works_from_the_folder_it_lies_in(bundle: str, tmp_path: Path) -> None:
    demo.run_demo(tmp_path / "demo", bundle=bundle)
    (tmp_path / "demo").rename(tmp_path / "moved")
    folder = tmp_path / "moved"
    request = EditRequest.from_json((folder / "request.json").read_text())
    assert (folder / request.clip).is_file()
    assert request.mattes is not None
    assert (folder / request.mattes).is_dir()


@pytest.mark.usefixtures("perfect")
def test_a_second_demo_replaces_the_first(bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo.run_demo(tmp_path, bundle=bundle)
    demo.run_demo(tmp_path, bundle=bundle)

    def fail(*arguments: object, **options: object) -> None:
        raise OutputError("no")

    monkeypatch.setattr(demo, "run_edit", fail)
    with pytest.raises(OutputError):
        demo.run_demo(tmp_path, bundle=bundle)
    assert not (tmp_path / "edited.mp4").exists()


def test_a_file_is_no_place_for_the_demo(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        demo.run_demo(tmp_path / "file")


@pytest.mark.slow
@pytest.mark.skipif(not (BUNDLES_FOLDER / "tiny").is_dir(), reason="the bundle tiny is not in the package")
def test_the_shipped_model_does_what_the_captions_say(tmp_path: Path) -> None:
    stages = set[str]()
    result = demo.run_demo(tmp_path, report=lambda progress: stages.add(progress.stage))
    assert stages == {"load", "mattes", "conditions", "inversion", "sampling", "write"}
    assert result.measured.bp == 0
    assert result.measured.cia is not None
    assert result.measured.cia >= 0.85
    assert result.measured.ia is not None
    assert result.measured.ia >= 0.85
    assert result.measured.ideal is not None
    assert result.measured.ideal.share is not None
    assert 0.5 <= result.measured.ideal.share <= 1
    assert read_manifest(result.manifest).frames_hash
    source, edited = (list(open_clip(tmp_path / "lossless" / f"{name}.mkv").read())
                      for name in ("source", "edited"))  # fmt: skip
    ids = Renderer(demo.demo_scene()).frame(0).ids
    assert np.array_equal(source[0][ids == 0], edited[0][ids == 0])
