"""A report as one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from statistics import median
from typing import Final

from mive import __version__
from mive.evaluate.bench import tables
from mive.evaluate.bench.report import Report, told_clips
from mive.evaluate.bench.report_clips import clip_sections
from mive.evaluate.bench.report_markdown import arrow
from mive.evaluate.bench.report_plots import SERIES, scatter
from mive.evaluate.bench.results import RunFolder
from mive.evaluate.bench.statistics import LEVEL, RESAMPLES, Estimate

_FAMILIES: Final = (("Global scores", 3), ("Local scores", 3), ("Leakage scores", 2))
_MEANINGS: Final = {
    "gtc": "the frame stays consistent over time (−1 to 1)",
    "gtf": "the frame shows what the captions say (−1 to 1)",
    "fa": "share of frames more like the captions than the source's",
    "ltc": "each instance stays consistent over time (−1 to 1)",
    "ltf": "each instance shows what its caption says (−1 to 1)",
    "ia": "share of instances more like their caption than their source's",
    "cia": "share of instances most like their own caption among all",
    "bp": "mean change outside the mattes, 0 to 255",
}
_IDEAL_MEANINGS: Final = {
    "psnr": "peak signal-to-noise ratio in dB",
    "share": "the PSNR as a share of that of the ideal itself after the VAE",
    "delta_e": "mean colour difference CIEDE2000, 1 is just visible",
    "ssim": "structural similarity (−1 to 1)",
}


def page(report: Report, folder: RunFolder) -> str:
    """The page.

    Raises:
        MediaError: a clip to be shown cannot be read.
    """
    style = resources.files("mive.evaluate.bench").joinpath("report.css").read_text(encoding="utf-8")
    title = f"Benchmark: {report.suite.about.name}"
    sections = [
        _header(report),
        _section("scores", "Scores", _scores(report)),
        _section("against", f"Difference to {report.titles[report.reference]}", _against(report)),
        _section("ideal", "Against the ideal edit", _ideal(report)),
        _section("size", "By instance size", _by_size(report)),
        _section("number", "By number of instances", _by_number(report)),
        _section("time", "Running time", _running_time(report)),
        _section("clips", "Worst and best clips", clip_sections(report, folder)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        f"<main>{''.join(sections)}<footer>MIVE {__version__}</footer></main></body></html>\n"
    )


def _header(report: Report) -> str:
    facts = {
        "clips": f"{len(report.clips)} of {len(report.suite.clips)}",
        "methods": str(len(report.titles)),
        **report.info.told(),
        "made": report.made.strftime("%Y-%m-%d %H:%M UTC"),
    }
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return (
        f"<header><h1>{escape(report.suite.about.name)}</h1><p>{escape(report.suite.about.description)}</p>"
        f"<dl class='facts'>{listed}</dl>{f'<ul class=notes>{notes}</ul>' if notes else ''}</header>"
    )


def _section(name: str, title: str, content: str) -> str:
    return f'<section id="{name}"><h2>{escape(title)}</h2>{content}</section>' if content else ""


def _scores(report: Report) -> str:
    interval = (
        f"Means over clips, the best in bold. Below each: its {LEVEL:.0%} interval, "
        f"from {RESAMPLES} bootstrap draws over clips."
    )
    table = _table(tables.overall(report.results), tables.SCORES, report.titles, _families())
    return f"<p>{interval}</p>{table}{_meanings(_MEANINGS)}"


def _meanings(texts: Mapping[str, str]) -> str:
    terms = "".join(
        f"<div><dt>{tables.label(name)} {arrow(name)}</dt><dd>{text}</dd></div>" for name, text in texts.items()
    )
    return f"<dl class='meanings'>{terms}</dl>"


def _against(report: Report) -> str:
    table = tables.against(report.results, report.reference)
    if not table:
        return ""
    text = "Clip by clip, row minus reference. In bold: the interval leaves out zero."
    return f"<p>{text}</p>" + _table(table, tables.SCORES, report.titles, _families(), signed=True)


def _ideal(report: Report) -> str:
    count = tables.ideal_count(report.results)
    if not count:
        return ""
    text = f"Inside the mattes, over frames, instances and the {told_clips(count)} of which the ideal edit is known."
    families = [("Against the ideal", len(tables.IDEAL))]
    table = _table(tables.overall(report.results, tables.IDEAL), tables.IDEAL, report.titles, families)
    parts = [f"<p>{text}</p>", table]
    differences = tables.against(report.results, report.reference, tables.IDEAL)
    if differences:
        parts.append(f"<p>Difference to {escape(report.titles[report.reference])}, clip by clip.</p>")
        parts.append(_table(differences, tables.IDEAL, report.titles, families, signed=True))
    return "".join([*parts, "<p>By instance size.</p>", _size_table(report, tables.IDEAL), _meanings(_IDEAL_MEANINGS)])


def _size_table(report: Report, scores: Sequence[str]) -> str:
    counts = tables.size_counts(report.results)
    found = {size: table for size, table in tables.by_size(report.results, scores).items() if counts[size]}
    wide = {
        method: {f"{size} {name}": table[method][name] for size, table in found.items() for name in scores}
        for method in report.titles
    }
    names = [f"{size} {name}" for size in found for name in scores]
    families = [(f"{size.capitalize()} ({counts[size]} instances)", len(scores)) for size in found]
    return _table(wide, names, report.titles, families)


def _by_size(report: Report) -> str:
    text = (
        "COCO’s classes of an instance’s mean area, scaled to clips of 512 × 512 as the paper’s: "
        "small below 32², large above 96² pixels. Means over instances."
    )
    return f"<p>{text}</p>" + _size_table(report, tables.LOCAL)


def _by_number(report: Report) -> str:
    counts = tables.group_counts(report.results)
    parts = ["<p>Clips by how many of their instances are edited.</p>"]
    for group, table in tables.by_number(report.results).items():
        if counts[group]:
            parts.append(f"<h3>{escape(group)} edited instances <span>{told_clips(counts[group])}</span></h3>")
            parts.append(_table(table, tables.SCORES, report.titles, _families()))
    return "".join(parts)


def _running_time(report: Report) -> str:
    timings = tables.timings(report.results)
    if not timings:
        return ""
    rate = {
        method: median(one.seconds / (one.frames * one.instances) for one in rows) for method, rows in timings.items()
    }
    by_frames = {name: [(one.frames, one.seconds / one.instances) for one in rows] for name, rows in timings.items()}
    by_number = {name: [(one.instances, one.seconds / one.frames) for one in rows] for name, rows in timings.items()}
    plots = (
        ("frames of the clip", "seconds per instance", by_frames),
        ("edited instances", "seconds per frame", by_number),
    )
    figures = "".join(f"<figure>{scatter(series, x, y, f'{y} against {x}')}</figure>" for x, y, series in plots)
    legend = "".join(
        f'<li class="s{number % SERIES}"><i></i>{escape(report.titles[name])} <b>{rate[name]:.2f} s</b></li>'
        for number, name in enumerate(timings)
    )
    text = (
        "Conditions, sampling and writing; without loading the model and without the inversion, which methods share. "
        "Dots are clips, lines join medians. In the legend: seconds per instance and frame, the median of all clips."
    )
    if 'class="beyond"' in figures:
        text += " Hollow dots on the upper edge are clips that took far longer: the machine was busy, or asleep."
    if len({x for rows in by_frames.values() for x, _ in rows}) == 1:
        text += " These clips are all equally long; clips of several lengths show how time grows with frames."
    return f"<p>{text}</p><ul class='legend'>{legend}</ul><div class='plots'>{figures}</div>"


def _families() -> list[tuple[str, int]]:
    return list(_FAMILIES)


def _table(
    table: tables.Table,
    names: Sequence[str],
    titles: Mapping[str, str],
    families: Sequence[tuple[str, int]],
    signed: bool = False,
) -> str:
    """Rows of methods under columns of scores, which are named "CLASS SCORE" or "SCORE"."""
    starts = {sum(width for _, width in families[:place]) for place in range(len(families))}
    edge = [' class="first"' if place in starts else "" for place in range(len(names))]
    groups = "".join(f'<th colspan="{width}" class="first">{escape(text)}</th>' for text, width in families)
    short = [name.split()[-1] for name in names]
    heads = "".join(f"<th{at}>{tables.label(name)} {arrow(name)}</th>" for at, name in zip(edge, short, strict=True))
    dense = ' class="dense"' if len(names) > len(tables.SCORES) else ""
    rows = []
    for method, row in table.items():
        cells = []
        for at, name, plain in zip(edge, names, short, strict=True):
            value = row[name]
            strong = _moved(value) if signed else method in tables.best(table, name)
            cells.append(f"<td{at}>{_cell(value, tables.places(plain), strong, signed)}</td>")
        rows.append(f'<tr><th scope="row">{escape(titles[method])}</th>{"".join(cells)}</tr>')
    head = f'<tr><th></th>{groups}</tr><tr><th scope="col">Method</th>{heads}</tr>'
    body = "".join(rows)
    return f'<div class="wide"><table{dense}><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def _moved(value: Estimate | None) -> bool:
    return value is not None and value.low is not None and value.high is not None and not value.low <= 0 <= value.high


def _cell(value: Estimate | None, places: int, strong: bool, signed: bool) -> str:
    if value is None:
        return "<span class='none'>–</span>"
    mean = _number(value.mean, places, signed)
    mean = f"<b>{mean}</b>" if strong else mean
    if value.low is None or value.high is None:
        return mean
    low, high = (_number(end, places, signed) for end in (value.low, value.high))
    return f"{mean}<small>{low}{' to ' if signed else '&thinsp;–&thinsp;'}{high}</small>"


def _number(value: float, places: int, signed: bool) -> str:
    text = f"{value:{'+z' if signed else 'z'}.{places}f}".replace("-", "−")
    return text.removeprefix("+") if float(f"{value:.{places}f}") == 0 else text
