"""The numbers of a report: results put together as the paper's tables have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mive.evaluate.bench.results import Result
from mive.evaluate.bench.statistics import Estimate, estimate
from mive.evaluate.metrics.report import SIZES, Size, size_class

SCORES: Final = ("gtc", "gtf", "fa", "ltc", "ltf", "ia", "cia", "bp")
LOCAL: Final = ("ltc", "ltf", "ia", "cia")
IDEAL: Final = ("psnr", "share", "delta_e", "ssim")
"""Scores against the ideal edit, of clips that have one; ``share`` is that of the PSNR which the VAE reaches."""

LOWER: Final = frozenset({"bp", "delta_e"})
"""Scores of which less is better."""

GROUPS: Final[Mapping[str, range]] = {"1–3": range(1, 4), "4–7": range(4, 8), "> 7": range(8, 10_000)}
"""Numbers of edited instances: easy, medium and hard clips (Table 6)."""

PAPER_AREA: Final = 512**2
"""Pixels of the paper's clips; sizes of instances are told as they would be there."""

Row = Mapping[str, Estimate | None]
"""Estimates by score."""

Table = Mapping[str, Row]
"""Rows by method."""

Results = Mapping[str, Sequence[Result]]
"""Results by method, of the same clips in the same order, all with scores."""


@dataclass(frozen=True)
class Timing:
    """How long one clip took.

    Attributes:
        seconds: conditions, sampling and writing; not loading, nor the inversion, which methods share.
        frames: of the clip.
        instances: that were edited.
    """

    seconds: float
    frames: int
    instances: int


def overall(results: Results, names: Sequence[str] = SCORES) -> Table:
    """Table 2, or its like for other scores: means over clips."""
    return {method: _row(rows, names) for method, rows in results.items()}


def ideal_count(results: Results) -> int:
    """Of how many clips the ideal edit is known."""
    return sum(bool(_scores(result).get("ideal")) for result in next(iter(results.values()), ()))


def against(results: Results, reference: str, names: Sequence[str] = SCORES) -> Table:
    """What each other method's clips score more than the reference's, clip by clip."""
    base = results[reference]
    return {
        method: {name: estimate([_difference(a, b, name) for a, b in zip(rows, base, strict=True)]) for name in names}
        for method, rows in results.items()
        if method != reference
    }


def by_size(results: Results, names: Sequence[str] = LOCAL) -> Mapping[str, Table]:
    """Table 5, or its like for other scores: means over the instances of a size."""

    def values(result: Result, name: str, size: Size) -> list[float]:
        rows = [row for row in _scores(result)["instances"] if size_of(row, result) == size]
        return [found for row in rows if (found := value(row, name)) is not None]

    return {
        size: {
            method: {name: estimate([values(result, name, size) for result in rows]) for name in names}
            for method, rows in results.items()
        }
        for size in SIZES
    }


def by_number(results: Results) -> Mapping[str, Table]:
    """Table 6: means over the clips with so many edited instances."""
    return {
        group: {
            method: _row([result for result in rows if instance_count(result) in numbers], SCORES)
            for method, rows in results.items()
        }
        for group, numbers in GROUPS.items()
    }


def size_counts(results: Results) -> Mapping[str, int]:
    """How many instances of each size there are."""
    rows = next(iter(results.values()), ())
    sizes = [size_of(row, result) for result in rows for row in _scores(result)["instances"]]
    return {size: sizes.count(size) for size in SIZES}


def group_counts(results: Results) -> Mapping[str, int]:
    """How many clips there are in each group."""
    numbers = [instance_count(result) for result in next(iter(results.values()), ())]
    return {group: sum(number in span for number in numbers) for group, span in GROUPS.items()}


def timings(results: Results) -> Mapping[str, Sequence[Timing]]:
    """Fig. 28's measurements, of the methods that have any."""
    kinds = ("conditions", "sampling", "write")
    measured = {
        method: [
            Timing(sum(one.seconds.get(kind, 0) for kind in kinds), _scores(one)["frames"], instance_count(one))
            for one in rows
            if "sampling" in one.seconds
        ]
        for method, rows in results.items()
    }
    return {method: rows for method, rows in measured.items() if rows}


def best(table: Table, name: str) -> frozenset[str]:
    """The methods whose mean of a score is the best, as far as tables print it; none where there is one row only.

    The name may have a size or the like before it.
    """
    kind = name.split()[-1]
    shown = {method: round(cell.mean, places(kind)) for method, row in table.items() if (cell := row[name]) is not None}
    if len(table) < 2 or not shown:
        return frozenset()
    top: Callable[[Iterable[float]], float] = min if kind in LOWER else max
    return frozenset(method for method, mean in shown.items() if mean == top(shown.values()))


def value(scores: Mapping[str, Any], name: str) -> float | None:
    """A score by name, of a clip or of an instance; None where there is none."""
    # Results of earlier versions, and of clips without an ideal edit, say nothing of it.
    found: float | None = ((scores.get("ideal") or {}) if name in IDEAL else scores).get(name)
    return found


def places(name: str) -> int:
    """How many decimals tables print of a score."""
    return 2 if name in LOWER or name == "psnr" else 3


def label(name: str) -> str:
    """What a score is called in tables."""
    return {"delta_e": "ΔE", "share": "of VAE"}.get(name, name.upper())


def ranked(rows: Sequence[Result]) -> list[Result]:
    """Results from the worst to the best: by the mean of CIA and IA, then by LTF."""

    def key(result: Result) -> tuple[float, float]:
        scores = _scores(result)
        known = [scores[name] for name in ("cia", "ia") if scores[name] is not None]
        return (sum(known) / max(len(known), 1), scores["ltf"] or 0)

    return sorted(rows, key=key)


def size_of(instance: Mapping[str, Any], result: Result) -> Size | None:
    """COCO's class of an instance's mean area, scaled as if the clip had the paper's 512 x 512 pixels.

    So sizes mean the same share of the picture in every suite. None where the instance is in no frame.
    """
    area = instance["area"]
    return None if area is None else size_class(area * PAPER_AREA / (result.width * result.height))


def instance_count(result: Result) -> int:
    """How many instances were edited."""
    return len(_scores(result)["instances"])


def _row(rows: Sequence[Result], names: Sequence[str]) -> Row:
    return {name: estimate([_values(result, name) for result in rows]) for name in names}


def _values(result: Result, name: str) -> list[float]:
    found = value(_scores(result), name)
    return [] if found is None else [found]


def _difference(one: Result, other: Result, name: str) -> list[float]:
    return [a - b for a, b in zip(_values(one, name), _values(other, name), strict=False)]


def _scores(result: Result) -> Mapping[str, Any]:
    assert result.scores is not None, "only results with scores are put together"
    return result.scores
