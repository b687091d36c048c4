"""Runs the tests of minutes and writes what they saw: ``python tests/soak_report.py REPORT [PYTEST OPTIONS]``.

Tests tell their figures with pytest's own ``record_property``.
"""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mive import __version__

ROOT = Path(__file__).resolve().parents[1]


class Figures:
    """A pytest plugin that keeps what became of every test, in the order of their ends."""

    def __init__(self) -> None:
        self.reports: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.reports.append(report)

    def text(self) -> str:
        return "\n\n".join([_head(), *map(_section, sorted(self.reports, key=lambda report: report.nodeid))]) + "\n"


def _head() -> str:
    where = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    day = datetime.now(UTC).date().isoformat()
    return f"# The long tests, last run\n\nWritten by `make soak`: {day}, MIVE {__version__}, {where}."


def _section(report: pytest.TestReport) -> str:
    file, _, name = report.nodeid.partition("::")
    lines = [f"## {name}", "", f"`{file}`: {report.outcome} in {report.duration:.0f} s."]
    if report.user_properties:
        lines += ["", "| figure | |", "|---|---|", *(f"| {key} | {value} |" for key, value in report.user_properties)]
    return "\n".join(lines)


def main(report: Path, options: list[str]) -> int:
    """Run them all, write the report whatever came of them, and return pytest's exit code."""
    figures = Figures()
    code = pytest.main(["-m", "soak", f"--rootdir={ROOT}", *options], plugins=[figures])
    report.write_text(figures.text(), "utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
