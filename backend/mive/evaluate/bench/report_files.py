"""A run's report as files: JSON, CSV, Markdown and one HTML page."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mive import __version__
from mive.base.atomic import write_text
from mive.evaluate.bench import statistics, tables
from mive.evaluate.bench.report import Report
from mive.evaluate.bench.report_html import page
from mive.evaluate.bench.report_markdown import markdown
from mive.evaluate.bench.results import RunFolder


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write ``report.json``, ``.csv``, ``.md`` and ``.html``; the page needs nothing but itself.

    Raises:
        MediaError: a clip to be shown cannot be read.
        OutputError: a file cannot be written.
    """
    texts = {
        "report.json": json.dumps(to_dict(report), indent=1, ensure_ascii=False) + "\n",
        "report.csv": to_csv(report),
        "report.md": markdown(report),
        "report.html": page(report, RunFolder(folder)),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def to_dict(report: Report) -> dict[str, Any]:
    """The whole report as plain data; an interval's ends are ``low`` and ``high``."""
    results = report.results
    return {
        "version": 1,
        "mive": __version__,
        "made": report.made.isoformat(timespec="seconds"),
        "suite": report.suite.about.name,
        "run": report.info.model_dump(mode="json", by_alias=True, exclude_none=True),
        "methods": dict(report.titles),
        "clips": [clip.name for clip in report.clips],
        "bootstrap": {"resamples": statistics.RESAMPLES, "seed": statistics.SEED, "level": statistics.LEVEL},
        "overall": _plain(tables.overall(results)),
        "against": {"reference": report.reference, "rows": _plain(tables.against(results, report.reference))},
        "by_size": {"instances": tables.size_counts(results), "tables": _plain(tables.by_size(results))},
        "by_number": {"clips": tables.group_counts(results), "tables": _plain(tables.by_number(results))},
        "ideal": _ideal(report),
        "timings": {name: [dataclasses.asdict(one) for one in rows] for name, rows in tables.timings(results).items()},
        "results": [one.model_dump(mode="json") for rows in results.values() for one in rows],
        "failed": [one.model_dump(mode="json") for one in report.failed],
        "notes": list(report.notes),
    }


def _ideal(report: Report) -> dict[str, Any] | None:
    """The tables against the ideal edit; None where no clip has one."""
    results, names = report.results, tables.IDEAL
    count = tables.ideal_count(results)
    if not count:
        return None
    return {
        "clips": count,
        "overall": _plain(tables.overall(results, names)),
        "against": {"reference": report.reference, "rows": _plain(tables.against(results, report.reference, names))},
        "by_size": _plain(tables.by_size(results, names)),
    }


def to_csv(report: Report) -> str:
    """A line for each method and clip, failures among them."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    names = (*tables.SCORES, *tables.IDEAL)
    lines.writerow(["method", "clip", "frames", "width", "height", "instances", *names, "seconds", "error"])
    for result in [*(one for rows in report.results.values() for one in rows), *report.failed]:
        scores = result.scores or {}
        lines.writerow([
            result.method, result.clip, scores.get("frames"), result.width or None, result.height or None,
            len(scores["instances"]) if scores else None, *(tables.value(scores, name) for name in names),
            result.seconds.get("total"), result.error["what"] if result.error else None,
        ])  # fmt: skip
    return text.getvalue()


def _plain(table: Any) -> Any:
    """Estimates, however deep, as plain data."""
    if isinstance(table, Mapping):
        return {name: _plain(value) for name, value in table.items()}
    return None if table is None else dataclasses.asdict(table)
