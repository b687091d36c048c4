"""A suite of coloured squares, edits of it that are right or wrong, and a judge that knows colours only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mive.base.progress import Report
from mive.evaluate.bench.makers import Made
from mive.evaluate.bench.suite import Suite, SuiteClip, load_suite
from mive.media import ClipInfo, open_clip, open_mattes, open_writer
from mive.request import FrameRange

Array = np.ndarray[Any, Any]

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
FRAMES = 3
SIZE = (48, 96)
BOXES = ((4, 4, 24), (26, 34, 12), (6, 60, 30))
"""Top, left and side of the squares."""

BEFORE, AFTER = ("red", "green", "blue"), ("green", "blue", "red")


class ColourJudge:
    """A picture's vector is its mean colour, a text's the sum of the colours that it names."""

    def images(self, images: Sequence[Array]) -> Array:
        return _unit([image.mean(axis=(0, 1)) for image in images])

    def texts(self, texts: Sequence[str]) -> Array:
        return _unit([np.sum([COLOURS[word] for word in COLOURS if word in text], 0) for text in texts])

    def too_long(self, text: str) -> bool:
        return False


def _unit(vectors: Any) -> Array:
    rows = np.asarray(vectors, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


class Painter:
    """A maker that paints the instances of a clip in colours that it is told, by place."""

    def __init__(self, name: str, colours: Sequence[str], fails: Sequence[str] = ()) -> None:
        self.name = name
        self.colours = list(colours)
        self.fails = fails
        self.made: list[str] = []

    @property
    def made_by(self) -> dict[str, Any]:
        return {"colours": self.colours}

    def make(self, clip: SuiteClip, out: Path, report: Report) -> Made:
        self.made.append(clip.name)
        if clip.name in self.fails:
            raise ZeroDivisionError("no paint")
        source = open_clip(clip.source)
        span = FrameRange(0, source.info.frames - 1)
        mattes = open_mattes(str(clip.mattes), clip.instances, source.info, span)
        with open_writer(out, source.info, span) as writer:
            for frame, layers in zip(source.read(), mattes, strict=True):
                for colour, layer in zip(self.colours, layers, strict=False):
                    frame[layer > 0] = COLOURS[colour]
                writer.write(frame)
        seconds = {"load": 9.0, "inversion": 5.0, "conditions": 0.5, "sampling": 3.0, "write": 0.5, "total": 18.0}
        return Made(seconds)


def write_squares(
    folder: Path, names: Sequence[str] = ("one", "three", "two"), frames: int = FRAMES, ideals: bool = False
) -> Suite:
    """A suite whose clip "two" has two edited instances, and so on; the squares that are left alone stay."""
    folder.mkdir(exist_ok=True)
    (folder / "suite.json").write_text(json.dumps({"version": 1, "name": "squares", "description": "<plain>"}))
    height, width = SIZE
    for name in names:
        edited = ("one", "two", "three").index(name) + 1
        info = ClipInfo(Path("squares"), width, height, frames, Fraction(8))
        span = FrameRange(0, frames - 1)
        with (
            open_writer(folder / name / "source.mkv", info, span) as source,
            open_writer(folder / name / "mattes", info, span) as mattes,
        ):
            for number in range(frames):
                picture, ids = np.full((*SIZE, 3), 90, np.uint8), np.zeros(SIZE, np.uint8)
                for place, (top, left, side) in enumerate(BOXES):
                    box = np.s_[top : top + side, left + number : left + number + side]
                    picture[box], ids[box] = COLOURS[BEFORE[place]], place + 1
                source.write(picture)
                mattes.write(np.repeat(ids[..., None], 3, axis=2))
        (folder / name / "clip.json").write_text(json.dumps(described(edited)))
    return with_ideals(load_suite(folder)) if ideals else load_suite(folder)


def with_ideals(suite: Suite) -> Suite:
    """The same suite with what a perfect edit would be in each clip."""
    for clip in suite.clips:
        Painter("perfect", AFTER).make(clip, clip.folder / "ideal.mkv", lambda progress: None)
        about = json.loads((clip.folder / "clip.json").read_text())
        (clip.folder / "clip.json").write_text(json.dumps({**about, "ideal": "ideal.mkv"}))
    return load_suite(suite.folder)


def described(edited: int) -> dict[str, Any]:
    """A clip.json whose first instances are edited."""
    instances: list[dict[str, Any]] = [
        {"id": place + 1, "source_caption": f"a {colour} square", "class_name": "square"}
        for place, colour in enumerate(BEFORE)
    ]
    for instance, colour in zip(instances[:edited], AFTER, strict=False):
        instance["caption"] = f"a {colour} square"
    tagged = ", ".join(f"<{one['id']}>{one['source_caption']}</{one['id']}>" for one in instances)
    return {
        "version": 1,
        "source": "source.mkv",
        "mattes": "mattes",
        "global_caption": f"{tagged} on grey",
        "instances": instances,
    }


@pytest.fixture
def squares(tmp_path: Path) -> Suite:
    return write_squares(tmp_path / "suite")
