"""A study's outcome as files: JSON, Markdown and a chart."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from mive import __version__
from mive.base.atomic import write_text
from mive.evaluate.bench import statistics
from mive.evaluate.study.tally import Tally
from mive.evaluate.study.tally_chart import chart
from mive.evaluate.study.tally_markdown import markdown


def write_tally(made: Tally, folder: Path) -> list[Path]:
    """Write ``tally.json``, ``.md`` and ``.svg``.

    Raises:
        OutputError: a file cannot be written.
    """
    texts = {
        "tally.json": json.dumps(to_dict(made), indent=1, ensure_ascii=False) + "\n",
        "tally.md": markdown(made),
        "tally.svg": chart(made),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def to_dict(made: Tally) -> dict[str, Any]:
    """The outcome as plain data; shares are 0..1, an interval's ends are ``low`` and ``high``."""
    return {
        "version": 1,
        "mive": __version__,
        "study": made.key.study,
        "title": made.key.title,
        "methods": made.key.methods,
        "clips": [clip.name for clip in made.key.clips],
        "participants": list(made.counted),
        "excluded": [{"participant": code, "missing": count} for code, count in made.excluded.items()],
        "bootstrap": {
            "over": "participants",
            "resamples": statistics.RESAMPLES,
            "seed": statistics.SEED,
            "level": statistics.LEVEL,
        },
        "shares": {
            method: {question: dataclasses.asdict(share) for question, share in row.items()}
            for method, row in made.shares.items()
        },
    }
