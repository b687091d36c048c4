"""The columns of Tables 1 and 4, counted by hand on a suite of squares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.evaluate.bench.conftest import BOXES, SIZE, write_squares

from mive.errors import MatteError
from mive.evaluate.bench.suite import Suite, load_suite
from mive.evaluate.dataset.stats import COLUMNS, Stats, as_json, as_markdown, look, measure


@pytest.fixture
def squares(tmp_path: Path) -> Suite:
    """Clips with three squares each, of which one, two or three are edited."""
    return write_squares(tmp_path / "suite")


def measured(suite: Suite) -> Stats:
    return measure(suite.about.name, [look(clip) for clip in suite.clips])


def test_all_and_edited_instances(squares: Suite) -> None:
    full, edited = measured(squares).rows
    area = SIZE[0] * SIZE[1]
    sides = [side for _, _, side in BOXES]
    assert (full.clips, full.frames, full.instances) == (3, (3, 3), 9)
    assert (full.objects, full.classes) == ((1, 1), 1), "squares are one class"
    assert (full.instances_per_class, full.instances_per_clip) == ((3, 3), (3, 3))
    assert full.size_percent == pytest.approx((100 * min(sides) ** 2 / area, 100 * max(sides) ** 2 / area), abs=1e-4)
    assert (edited.instances, edited.instances_per_clip, edited.instances_per_class) == (6, (1, 3), (1, 3))


def test_sizes_and_groups_are_those_of_the_benchmark(squares: Suite) -> None:
    stats = measured(squares)
    scaled = [side**2 * 512**2 / (SIZE[0] * SIZE[1]) for _, _, side in BOXES]
    assert sum(stats.sizes.values()) == 6
    assert stats.sizes["large"] == 3 * (scaled[0] > 96**2) + 2 * (scaled[1] > 96**2) + (scaled[2] > 96**2)
    assert stats.groups == {"1–3": 3, "4–7": 0, "> 7": 0}
    assert stats.classes == {"square": 6}


def test_markdown_and_json(squares: Suite) -> None:
    stats = measured(squares)
    lines = as_markdown(stats).splitlines()
    assert lines[2] == f"| {' | '.join(COLUMNS)} |"
    assert lines[4].startswith("| full set | 3 | 3–3 | 1–1 | 1 | 3–3 | 3–3 | 9 | 3.12–")
    assert {line.count("|") for line in lines[2:6]} == {len(COLUMNS) + 1}
    data = json.loads(json.dumps(as_json(stats)))
    assert data["rows"][1]["instances_per_clip"] == [1, 3]


def test_an_instance_without_a_matte(squares: Suite) -> None:
    path = squares.folder / "two" / "clip.json"
    about = json.loads(path.read_text())
    about["instances"].append({"id": 9, "source_caption": "a ghost"})
    path.write_text(json.dumps(about))
    with pytest.raises(MatteError, match="never shows instance 9"):
        measured(load_suite(squares.folder))
