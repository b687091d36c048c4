"""Results put together, by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mive.evaluate.bench import tables
from mive.evaluate.bench.results import Result
from mive.evaluate.bench.statistics import Estimate


def instance(area: float | None, cia: float | None = 1.0) -> dict[str, Any]:
    return {"area": area, "ltc": 0.9, "ltf": 0.5, "ia": 0.5, "cia": cia}


def result(cia: float | None, instances: list[dict[str, Any]], **changes: Any) -> Result:
    eight = {"gtc": 0.9, "gtf": 0.4, "fa": 1.0, "ltc": 0.9, "ltf": 0.5, "ia": cia, "cia": cia, "bp": 2.0}
    facts = {
        "method": "m", "clip": "c", "digest": "", "made_by": {}, "finished": datetime.now(UTC),
        "width": 256, "height": 256,
        "scores": {**eight, "frames": 8, "instances": instances},
        "seconds": {"load": 9, "inversion": 7, "conditions": 1, "sampling": 20, "write": 3, "total": 40},
    }  # fmt: skip
    return Result(**{**facts, **changes})  # type: ignore[arg-type]


def means(row: tables.Row) -> dict[str, float | None]:
    return {name: value and value.mean for name, value in row.items()}


def test_table_2_is_the_mean_over_clips_that_have_the_score() -> None:
    rows = [result(1.0, [instance(99)]), result(0.5, [instance(99)] * 4), result(None, [instance(99)])]
    row = tables.overall({"m": rows})["m"]
    assert (means(row)["cia"], means(row)["bp"]) == (0.75, 2.0)
    assert row["cia"] is not None
    assert row["cia"].count == 2


def test_sizes_are_those_at_the_papers_512_pixels() -> None:
    # At 256 pixels a side, a quarter of COCO's limits: 256 and 2304 pixels.
    areas = {255.9: "small", 256: "medium", 2304: "medium", 2304.1: "large", None: None}
    assert {area: tables.size_of(instance(area), result(1.0, [])) for area in areas} == areas
    rows = [result(1.0, [instance(100, 0.0), instance(3000)]), result(1.0, [instance(100), instance(100, None)])]
    table = tables.by_size({"m": rows})
    assert means(table["small"]["m"])["cia"] == 0.5
    assert means(table["large"]["m"])["cia"] == 1
    assert means(table["medium"]["m"])["cia"] is None
    assert tables.size_counts({"m": rows}) == {"small": 3, "medium": 0, "large": 1}


def test_clips_by_the_number_of_their_instances() -> None:
    rows = [
        result(share, [instance(99)] * count) for count, share in ((1, 1.0), (3, 0.0), (4, 0.25), (7, 0.75), (8, 1.0))
    ]
    table = tables.by_number({"m": rows})
    assert {group: means(row["m"])["cia"] for group, row in table.items()} == {"1–3": 0.5, "4–7": 0.5, "> 7": 1}
    assert tables.group_counts({"m": rows}) == {"1–3": 2, "4–7": 2, "> 7": 1}


def test_differences_are_clip_by_clip() -> None:
    base = [result(0.2, []), result(0.8, []), result(0.5, [])]
    other = [result(0.3, []), result(0.9, []), result(None, [])]
    found = tables.against({"a": base, "b": other}, "a")
    assert list(found) == ["b"]
    value = found["b"]["cia"]
    assert value is not None
    assert (value.mean, value.low, value.high, value.count) == (*[pytest.approx(0.1)] * 3, 2)


def test_time_leaves_out_loading_and_the_inversion() -> None:
    found = tables.timings({"m": [result(1.0, [instance(9)] * 3)], "theirs": [result(1.0, [], seconds={})]})
    assert found == {"m": [tables.Timing(24, 8, 3)]}


def test_the_best_is_the_best_as_printed_and_less_is_better_for_bp() -> None:
    def estimate(mean: float) -> Estimate:
        return Estimate(mean, None, None, 1)

    table = {
        "a": {"cia": estimate(0.70012), "bp": estimate(3.0)},
        "b": {"cia": estimate(0.70008), "bp": estimate(1.0)},
        "c": {"cia": estimate(0.6), "bp": None},
    }
    assert tables.best(table, "cia") == {"a", "b"}
    assert tables.best(table, "bp") == {"b"}
    assert tables.best({"a": table["a"]}, "cia") == set()


def test_scores_against_the_ideal_are_those_of_clips_that_have_one() -> None:
    near = {"psnr": 20.0, "share": 0.8, "delta_e": 5.0, "ssim": 0.7}
    one = instance(100.0) | {"ideal": near}
    rows = [result(1.0, [one], scores=result(1.0, [one]).scores | {"ideal": near}), result(1.0, [instance(100.0)])]  # type: ignore[operator]
    row = tables.overall({"m": rows}, tables.IDEAL)["m"]
    assert means(row) == near
    assert tables.ideal_count({"m": rows}) == 1
    assert means(tables.by_size({"m": rows}, tables.IDEAL)["small"]["m"]) == near


def test_less_colour_difference_is_better_at_any_size() -> None:
    table = {"a": {"small delta_e": Estimate(3, None, None, 1)}, "b": {"small delta_e": Estimate(9, None, None, 1)}}
    assert tables.best(table, "small delta_e") == {"a"}


def test_clips_are_ranked_by_cia_and_ia_then_ltf() -> None:
    worst, middle, best = result(0.2, [], clip="w"), result(None, [], clip="n"), result(0.9, [], clip="b")
    assert [one.clip for one in tables.ranked([best, worst, middle])] == ["n", "w", "b"]
