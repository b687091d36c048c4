"""The demo: a toy clip whose three things become something else, each by its own caption."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mive.base.atomic import output_error, output_errors, write_text
from mive.base.progress import Report
from mive.edit import EditResult, run_edit
from mive.errors import OutputError
from mive.evaluate.metrics.files import Ideal, load_round_trip, score_files
from mive.evaluate.metrics.report import Scores
from mive.evaluate.sheet import contact_sheet, spread, write_sheet
from mive.evaluate.toyworld import Scene, describe, edited_scene, random_scene
from mive.evaluate.toyworld.clip import ToyClip, write_clip, write_pictures
from mive.media import open_clip, open_mattes, open_writer
from mive.request import USUAL_BUNDLE, EditRequest, FrameRange, Instance, Settings
from mive.settings import Preset

SEED: Final = 20_004_585
"""A scene that no part of the tiny bundle was trained on: a cup, a ball and a cylinder on paper."""

FRAMES: Final = 6
SIZE: Final = (192, 192)
PRESET: Final[Preset] = "standard"
EDITS: Final = (("green", "plain"), ("blue", "striped"), ("red", "plain"))
"""The colour and pattern that each thing gets, in the scene's order."""

_MADE: Final = ("edited.mp4", "sheet.png", "scores.json", "manifest.json")


@dataclass(frozen=True)
class DemoResult:
    """What the demo made, all in one folder.

    Attributes:
        source, ideal, edited: H.264, to look at. What was edited and scored is in ``lossless/``.
        sheet: PNG of source, mattes, ideal and edit.
        scores, manifest, request: JSON; ``mive edit --request`` takes the last.
        mattes: folder of ID mattes.
        measured: the scores.
        seconds: how long the edit took, with loading and writing.
        warnings: what the user should know.
    """

    source: Path
    ideal: Path
    edited: Path
    sheet: Path
    scores: Path
    manifest: Path
    request: Path
    mattes: Path
    measured: Scores
    seconds: float
    warnings: tuple[str, ...]


def demo_scene() -> Scene:
    """Three things of different shapes and colours, well apart, on a quiet ground."""
    return random_scene(SEED, SIZE, count=(3, 3), scale=(0.2, 0.26), spacing=1.05)


def ideal_scene(scene: Scene) -> Scene:
    """What a perfect edit would be."""
    return edited_scene(scene, dict(enumerate(EDITS)))


def demo_instances(scene: Scene) -> tuple[Instance, ...]:
    """Each thing keeps its shape, which the depth condition holds it to, and changes its surface."""
    return tuple(
        Instance(
            id=number,
            caption=describe(colour, pattern, thing.shape),
            source_caption=thing.caption,
        )
        for number, (thing, (colour, pattern)) in enumerate(zip(scene.things, EDITS, strict=True), start=1)
    )


def demo_request(
    out: Path, bundle: str = USUAL_BUNDLE, videos: tuple[str, ...] = ("source.mkv",)
) -> tuple[ToyClip, EditRequest]:
    """Renders the clip into a folder; the clip and its edit, with absolute paths.

    Args:
        videos: names of the clip's files, the first of them lossless, which is edited.
    """
    scene = demo_scene()
    clip = write_clip(scene, out, FRAMES, videos)
    return clip, EditRequest(
        clip=str(clip.videos[0].absolute()),
        mattes=str(clip.mattes.absolute()),
        instances=demo_instances(scene),
        bundle=bundle,
        settings=Settings(preset=PRESET),
    )


def run_demo(out: Path, *, report: Report = lambda progress: None, bundle: str = USUAL_BUNDLE) -> DemoResult:
    """Renders the clip, edits it, scores the edit, and puts everything into ``out``.

    Args:
        out: a folder, made if it is not there; an earlier demo in it is replaced.
        report: told about the edit's progress.
        bundle: the model bundle.

    Raises:
        MiveError: see `mive.errors`.
    """
    _prepare(out)
    clip, request = demo_request(out, bundle, ("lossless/source.mkv", "source.mp4"))
    _write_request(out / "request.json", request)
    ideal, edited = out / "lossless" / "ideal.mkv", out / "lossless" / "edited.mkv"
    write_pictures(ideal_scene(demo_scene()), ideal, FRAMES)
    _copy(ideal, out / "ideal.mp4")
    result = run_edit(request, edited.absolute(), report=report)
    with output_errors(out / "manifest.json"):
        result.manifest.replace(out / "manifest.json")
    _copy(edited, out / "edited.mp4")
    _draw(clip, request, ideal, edited, out / "sheet.png")
    measured = score_files(
        request.clip,
        edited,
        request.mattes,
        request.instances,
        bundle=bundle,
        ideal=Ideal(ideal, load_round_trip(bundle)),
    )
    seconds = result.seconds["total"]
    scores = {**measured.to_dict(), "seconds": seconds}
    write_text(out / "scores.json", json.dumps(scores, indent=2, ensure_ascii=False) + "\n")
    return _result(out, clip, result, measured)


def _prepare(out: Path) -> None:
    """Takes away what an earlier demo made, so that no old result lies beside a new source."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in _MADE:
            (out / name).unlink(missing_ok=True)
    except FileExistsError as error:
        raise OutputError(f"{out} is a file", expected="a folder", fix="Choose another place with --out") from error
    except OSError as error:
        raise output_error(error, out) from error


def _write_request(path: Path, request: EditRequest) -> None:
    """The request with paths from its own folder, so that the folder can be moved."""
    folder = path.parent.absolute()
    assert request.mattes is not None
    here = {
        "clip": os.path.relpath(request.clip, folder),
        "mattes": os.path.relpath(request.mattes, folder),
    }
    write_text(path, request.model_copy(update=here).to_json())


def _copy(clip: Path, out: Path) -> None:
    source = open_clip(clip)
    with open_writer(out, source.info, FrameRange(0, source.info.frames - 1)) as writer:
        for frame in source.read():
            writer.write(frame)


def _draw(clip: ToyClip, request: EditRequest, ideal: Path, edited: Path, out: Path) -> None:
    source = open_clip(clip.videos[0])
    span = FrameRange(0, FRAMES - 1)
    mattes = open_mattes(request.mattes, request.instances, source.info, span, "exact")
    shown = spread(FRAMES)
    before, best, after = (list(open_clip(path).read()) for path in (clip.videos[0], ideal, edited))
    sheet = contact_sheet(
        [before[index] for index in shown],
        [mattes.read(index) for index in shown],
        [after[index] for index in shown],
        [f"{i.id}: {i.source_caption} -> {i.caption}" for i in request.instances],
        [best[index] for index in shown],
    )
    write_sheet(out, sheet)


def _result(out: Path, clip: ToyClip, result: EditResult, measured: Scores) -> DemoResult:
    return DemoResult(
        source=out / "source.mp4",
        ideal=out / "ideal.mp4",
        edited=out / "edited.mp4",
        sheet=out / "sheet.png",
        scores=out / "scores.json",
        manifest=out / "manifest.json",
        request=out / "request.json",
        mattes=clip.mattes,
        measured=measured,
        seconds=result.seconds["total"],
        warnings=result.warnings,
    )
