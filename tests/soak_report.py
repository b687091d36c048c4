"""Runs the tests of minutes and writes what they saw: ``python tests/soak_report.py REPORT [PYTEST OPTIONS]``.

Tests tell their figures with pytest's own ``record_property``. With options that choose some of the tests, the report
keeps what it says of the others.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAD = "# The long tests, last run\n\nWritten by `make soak`."


class Figures:
    """A pytest plugin that keeps what became of every test, in the order of their ends."""

    def __init__(self) -> None:
        self.reports: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.reports.append(report)

    def text(self, others: Iterable[str] = ()) -> str:
        """The report; ``others`` are sections of an earlier one."""
        sections = {_title(section): section for section in (*others, *map(_section, self.reports))}
        return "\n\n".join([HEAD, *(sections[title] for title in sorted(sections))]) + "\n"


def sections_of(text: str) -> list[str]:
    """The sections of a report that `Figures.text` wrote."""
    return [f"## {section.strip()}" for section in text.split("\n## ")[1:]]


def _title(section: str) -> str:
    return section.partition("\n")[0]


def _section(report: pytest.TestReport) -> str:
    file, _, name = report.nodeid.partition("::")
    where = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    told = f"`{file}`: {report.outcome} in {report.duration:.0f} s; {datetime.now(UTC).date()}, {where}."
    lines = [f"## {name}", "", told]
    if report.user_properties:
        lines += ["", "| figure | |", "|---|---|", *(f"| {key} | {value} |" for key, value in report.user_properties)]
    return "\n".join(lines)


def main(report: Path, options: list[str]) -> int:
    """Run them all, write the report whatever came of them, and return pytest's exit code."""
    figures = Figures()
    code = pytest.main(["-m", "soak", f"--rootdir={ROOT}", *options], plugins=[figures])
    others = sections_of(report.read_text("utf-8")) if options and report.exists() else []
    report.write_text(figures.text(others), "utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
