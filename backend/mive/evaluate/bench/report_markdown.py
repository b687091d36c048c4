"""A report's tables as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mive.evaluate.bench import tables
from mive.evaluate.bench.report import Report, told_clips
from mive.evaluate.bench.statistics import LEVEL, RESAMPLES, Estimate


def markdown(report: Report) -> str:
    """The tables, with what they are of above and what a reader should know below."""
    results = report.results
    sizes, groups = tables.size_counts(results), tables.group_counts(results)
    parts = [
        f"# Benchmark: {report.suite.about.name}",
        f"{', '.join([told_clips(len(report.clips)), *(f'{k} {v}' for k, v in report.info.told().items())])}. "
        f"In brackets: {LEVEL:.0%} intervals, bootstrap over clips ({RESAMPLES} draws).",
        *(f"- {note}" for note in report.notes),
        "## Scores (Table 2's layout)",
        _table(tables.overall(results), tables.SCORES, report.titles),
    ]
    differences = tables.against(results, report.reference)
    if differences:
        parts += [f"## Difference to {report.titles[report.reference]}, clip by clip"]
        parts += [_table(differences, tables.SCORES, report.titles, signed=True)]
    if count := tables.ideal_count(results):
        parts += [f"## Against the ideal edit, inside the mattes ({told_clips(count)})"]
        parts += [_table(tables.overall(results, tables.IDEAL), tables.IDEAL, report.titles)]
        differences = tables.against(results, report.reference, tables.IDEAL)
        if differences:
            parts += [_table(differences, tables.IDEAL, report.titles, signed=True)]
    for size, table in tables.by_size(results).items():
        if sizes[size]:
            parts += [f"## {size.capitalize()} instances ({sizes[size]})", _table(table, tables.LOCAL, report.titles)]
    for group, table in tables.by_number(results).items():
        if groups[group]:
            parts += [f"## {group} edited instances ({told_clips(groups[group])})"]
            parts += [_table(table, tables.SCORES, report.titles)]
    return "\n\n".join(parts) + "\n"


def arrow(name: str) -> str:
    """Which way is better."""
    return "↓" if name in tables.LOWER else "↑"


def _table(table: tables.Table, names: Sequence[str], titles: Mapping[str, str], signed: bool = False) -> str:
    lines = ["| method | " + " | ".join(f"{tables.label(name)} {arrow(name)}" for name in names) + " |"]
    lines.append("|---|" + "---:|" * len(names))
    winners = {name: frozenset[str]() if signed else tables.best(table, name) for name in names}
    for method, row in table.items():
        cells = [_cell(row[name], tables.places(name), method in winners[name], signed) for name in names]
        lines.append(f"| {titles[method]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: Estimate | None, places: int, wins: bool, signed: bool) -> str:
    if value is None:
        return "–"
    sign = "+z" if signed else "z"
    mean = f"{value.mean:{sign}.{places}f}"
    mean = f"**{mean}**" if wins else mean
    if value.low is None or value.high is None:
        return mean
    return f"{mean} [{value.low:{sign}.{places}f}, {value.high:{sign}.{places}f}]"
