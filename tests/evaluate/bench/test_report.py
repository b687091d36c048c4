"""Reports: the numbers, the notes, and a page that stands by itself."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.evaluate.bench.conftest import AFTER, BEFORE, ColourJudge, Painter, write_squares

from mive.errors import RequestError
from mive.evaluate.bench.report import Report, read_report
from mive.evaluate.bench.report_files import write_report
from mive.evaluate.bench.report_plots import scatter
from mive.evaluate.bench.results import RunFolder, RunInfo
from mive.evaluate.bench.runner import run_suite
from mive.request import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three methods, of which one failed on a clip."""
    root = tmp_path_factory.mktemp("report")
    suite, folder = write_squares(root / "suite"), RunFolder(root / "out")
    folder.start(RunInfo(suite=str(root / "suite"), bundle="tiny", judge="tiny", settings=Settings()))
    painters = [
        Painter("full", AFTER),
        Painter("theirs", ("blue", "green", "red")),
        Painter("broken", BEFORE, fails=["three"]),
    ]
    assert len(list(run_suite(suite.clips, painters, folder, ColourJudge()))) == 9
    return root / "out"


@pytest.fixture(scope="module")
def with_ideal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of two methods on clips whose ideal edits are known."""
    root = tmp_path_factory.mktemp("ideal")
    suite, folder = write_squares(root / "suite", ideals=True), RunFolder(root / "out")
    folder.start(RunInfo(suite=str(root / "suite"), bundle="tiny", judge="tiny", settings=Settings()))
    painters = [Painter("full", ("green", "blue", "blue")), Painter("theirs", BEFORE)]
    assert len(list(run_suite(suite.clips, painters, folder, ColourJudge()))) == 6
    write_report(read_report(root / "out"), root / "out")
    return root / "out"


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return read_report(folder)


@pytest.fixture(scope="module")
def html(report: Report, folder: Path) -> str:
    write_report(report, folder)
    return (folder / "report.html").read_text()


def test_only_clips_that_every_method_has_are_compared(report: Report, folder: Path) -> None:
    assert [clip.name for clip in report.clips] == ["one", "two"]
    assert report.notes == [
        "Tables are of the 2 clips that all methods have; some have 1 more.",
        "broken failed on 1 clip, first on three: MIVE ran into an error of its own, ZeroDivisionError: no paint.",
        "1 clip with a single caption count with a CIA of 1, which is all it can be.",
    ]
    assert [clip.name for clip in read_report(folder, ["theirs", "full"]).clips] == ["one", "three", "two"]


def test_rows_come_as_the_registry_has_them_or_as_they_are_asked_for(report: Report, folder: Path) -> None:
    assert list(report.titles) == ["full", "broken", "theirs"]
    assert report.titles["full"] == "MIVE, full method"
    asked = read_report(folder, ["theirs", "full"])
    assert list(asked.titles) == ["theirs", "full"]
    assert asked.reference == "theirs"


def test_json_holds_all_numbers(html: str, folder: Path) -> None:
    data = json.loads((folder / "report.json").read_text())
    assert data["overall"]["full"]["cia"]["mean"] == 1
    assert data["overall"]["theirs"]["cia"]["mean"] == 0.5
    assert data["against"]["rows"]["theirs"]["cia"]["mean"] == -0.5
    assert data["by_number"]["clips"] == {"1–3": 2, "4–7": 0, "> 7": 0}
    assert data["timings"]["full"][0]["seconds"] == 4
    assert len(data["results"]) == 6
    assert data["failed"][0]["clip"] == "three"


def test_csv_has_a_line_for_each_result(html: str, folder: Path) -> None:
    lines = list(csv.DictReader((folder / "report.csv").open()))
    assert [(line["method"], line["clip"]) for line in lines] == [
        ("full", "one"), ("full", "two"), ("broken", "one"), ("broken", "two"), ("theirs", "one"), ("theirs", "two"),
        ("broken", "three"),
    ]  # fmt: skip
    assert (lines[0]["cia"], lines[0]["instances"], lines[0]["seconds"]) == ("1.0", "1", "18.0")
    assert "no paint" in lines[-1]["error"]


def test_markdown_is_table_2(html: str, folder: Path) -> None:
    text = (folder / "report.md").read_text()
    assert "| method | GTC ↑ | GTF ↑ | FA ↑ | LTC ↑ | LTF ↑ | IA ↑ | CIA ↑ | BP ↓ |" in text
    scores = text.split("## ")[1]
    (row,) = (line for line in scores.splitlines() if line.startswith("| theirs"))
    assert "0.500 [0.000, 1.000]" in row


def test_clips_with_ideals_have_tables_of_their_own(with_ideal: Path, html: str, folder: Path) -> None:
    text = (with_ideal / "report.md").read_text()
    assert "## Against the ideal edit, inside the mattes (3 clips)" in text
    assert "| method | PSNR ↑ | of VAE ↑ | ΔE ↓ | SSIM ↑ |" in text
    page = (with_ideal / "report.html").read_text()
    assert '<section id="ideal">' in page
    assert page.count("<span>ideal</span>") == 6
    data = json.loads((with_ideal / "report.json").read_text())["ideal"]
    assert data["clips"] == 3
    # Clips one and two are perfect, of three one square in three is red's opposite: 1.76 dB.
    assert data["overall"]["full"]["psnr"]["mean"] == pytest.approx((200 + (200 + 1.76) / 3) / 3, abs=0.01)
    assert data["overall"]["full"]["psnr"]["low"] < 100
    assert data["against"]["rows"]["theirs"]["delta_e"]["low"] > 0
    assert data["by_size"]["large"]["full"]["psnr"] is not None
    (line, *_) = csv.DictReader((with_ideal / "report.csv").open())
    assert (line["psnr"], line["share"], line["delta_e"]) == ("100.0", "", "0.0")
    assert '<section id="ideal">' not in html
    assert "Against the ideal" not in (folder / "report.md").read_text()
    assert json.loads((folder / "report.json").read_text())["ideal"] is None


class Page(HTMLParser):
    """What a page asks for, and whether its tags pair up."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "circle", "line", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself(html: str) -> None:
    page = Page()
    page.feed(html)
    assert page.open == []
    assert page.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert not re.search(r"https?:|url\(|@import|<script|<link", html)


def test_the_page_shows_clips_plots_and_escaped_words(html: str) -> None:
    assert html.count("<details") == 3
    assert html.count("<article>") == 6
    assert html.count("<svg") == 2
    assert "seconds per instance" in html
    assert "frames of the clip" in html
    assert "&lt;plain&gt;" in html


def test_a_clip_of_a_busy_machine_does_not_flatten_the_others() -> None:
    plot = scatter({"one": [(1, 1.0), (1, 2.0), (1, 900.0), (2, 4.0)], "other": [(1, 11.0)]}, "x", "y", "t")
    assert plot.count("<circle") == 5
    assert plot.count('<circle class="beyond"') == 1
    ticks = [float(tick) for tick in re.findall(r'text-anchor="end">(.*?)</text>', plot)]
    assert 11 <= max(ticks) <= 20


def test_the_best_value_is_bold(html: str) -> None:
    scores = html[html.index('<section id="scores"') : html.index('<section id="against"')]
    rows = dict(re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', scores))
    cells = {name: re.findall(r"<td.*?</td>", row) for name, row in rows.items()}
    assert len(cells["theirs"]) == 8
    assert "<b>1.000</b>" in cells["MIVE, full method"][6]
    assert "<b>" not in cells["theirs"][6]


def test_the_same_results_give_the_same_report(html: str, report: Report, folder: Path) -> None:
    write_report(report, folder)
    assert (folder / "report.html").read_text() == html


def test_nothing_to_report(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no benchmark run in"):
        read_report(tmp_path)
    with pytest.raises(RequestError, match=r"no clip has scores by every method .*no_ipr: 0 clips"):
        read_report(folder, ["full", "no_ipr"])
