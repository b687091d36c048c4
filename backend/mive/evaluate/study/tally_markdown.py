"""A study's outcome as Markdown."""

from __future__ import annotations

from mive.evaluate.bench.report import told_clips
from mive.evaluate.bench.statistics import LEVEL, RESAMPLES, Estimate
from mive.evaluate.study.questions import QUESTIONS
from mive.evaluate.study.tally import Tally


def markdown(made: Tally) -> str:
    """Table 2's columns of the user study, and below them what the shares are of."""
    lines = ["| method | " + " | ".join(f"{question.column} ↑" for question in QUESTIONS) + " |"]
    lines.append("|---|" + "---:|" * len(QUESTIONS))
    best = {
        question.name: max(round(row[question.name].mean, 4) for row in made.shares.values()) for question in QUESTIONS
    }
    for method, row in made.shares.items():
        cells = [_cell(share, round(share.mean, 4) == best[name]) for name, share in row.items()]
        lines.append(f"| {made.key.methods[method]} | " + " | ".join(cells) + " |")
    people = f"{len(made.counted)} participant{'s' * (len(made.counted) != 1)}"
    about = (
        f"How often, in percent, a method was chosen as the best of {len(made.shares)}: {people}, "
        f"{told_clips(len(made.key.clips))}, so that chance is {100 / len(made.shares):.1f}. "
        f"In brackets: {LEVEL:.0%} intervals, bootstrap over participants ({RESAMPLES} draws)."
    )
    asked = len(made.key.clips) * len(QUESTIONS)
    notes = [
        *(f"- {question.column}: {question.words}" for question in QUESTIONS),
        *(
            f"- {code} is not counted: {count} answer{'s' * (count != 1)} of {asked} missing."
            for code, count in made.excluded.items()
        ),
    ]
    return "\n\n".join([f"# {made.key.title}", about, "\n".join(lines), "\n".join(notes)]) + "\n"


def _cell(share: Estimate, wins: bool) -> str:
    mean = f"{100 * share.mean:.2f}"
    mean = f"**{mean}**" if wins else mean
    if share.low is None or share.high is None:
        return mean
    return f"{mean} [{100 * share.low:.1f}, {100 * share.high:.1f}]"
