"""The documentation says what the code says, has no dead ends, and every page has a way in."""

from __future__ import annotations

import pkgutil
import re
import runpy
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
WRITTEN = sorted([REPOSITORY / "README.md", *DOCS.rglob("*.md")])
PAGES = [*WRITTEN, REPOSITORY / "plugin_bridge" / "LINK.md"]
GENERATE = runpy.run_path(str(DOCS / "generate.py"))

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
KINDS = ("tutorial", "how-to", "reference", "explanation", "measurements")


def named(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"(?ms)^```.*?^```$|`[^`\n]*`", "", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text("utf-8"))
    titles = [re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", title) for title in re.findall(r"(?m)^#+ (.+)$", text)]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", GENERATE["pages"](), ids=named)
def test_what_is_generated_is_what_the_code_says(page: Path) -> None:
    assert page.read_text("utf-8") == GENERATE["rendered"](page), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_front_door_leads_to_every_page() -> None:
    links = LINK.findall((DOCS / "README.md").read_text("utf-8"))
    reached = {(DOCS / link.partition("#")[0]).resolve() for link in links}
    pages = {page for kind in KINDS for page in (DOCS / kind).glob("*.md")}
    assert pages <= reached, sorted(map(named, pages - reached))
    assert {page for page in DOCS.glob("*.md")} == {DOCS / "README.md", DOCS / "CONTRIBUTING.md"}


@pytest.mark.parametrize("page", [page for page in WRITTEN if "measurements" not in page.parts], ids=named)
def test_lines_fit_a_screen(page: Path) -> None:
    """What people write; programs may write longer rows of tables."""
    written = re.sub(r"(?ms)^<!-- generated: .*?^<!-- end -->$", "", page.read_text("utf-8"))
    assert not [line for line in written.splitlines() if len(line) > 120]


def test_the_readme_is_a_screen() -> None:
    assert len((REPOSITORY / "README.md").read_text("utf-8").splitlines()) <= 80


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_what_is_named_is_there(page: Path) -> None:
    """Modules, classes and functions by their full name, and options of commands."""
    text = page.read_text("utf-8")
    for name in re.findall(r"`((?:mive|mive_bridge|mive_trt)\.[\w.]+)`", text):
        pkgutil.resolve_name(name)
    commands = (DOCS / "reference" / "commands.md").read_text("utf-8")
    shell = "\n".join(re.findall(r"(?ms)^```sh$(.*?)^```$", text)).replace("\\\n", " ")
    for line in re.findall(r"(?m)^(?:\.venv/bin/)?mive.*", shell):
        for option in re.findall(r" (--[a-z-]+)", line.partition(" #")[0]):
            assert option in commands, option


def test_a_newcomer_finds_every_equation_in_three_files() -> None:
    """The README leads to the method's page, and that to the code."""
    assert "docs/explanation/method.md" in LINK.findall((REPOSITORY / "README.md").read_text("utf-8"))
    rows = re.findall(r"(?m)^\| Eq\. (\d+) \| .*\.py\)", (DOCS / "explanation" / "method.md").read_text("utf-8"))
    assert {"2", "3", "4", "6", "7", "8"} <= set(rows)


def sources() -> str:
    """All text that programs may show, with strings that go over several lines joined."""
    folders = ("backend/mive", "mive_trt", "plugin_bridge")
    files = [path for name in folders for path in (REPOSITORY / name).rglob("*") if path.suffix in (".py", ".cpp")]
    text = "\n".join(path.read_text("utf-8") for path in [REPOSITORY / "Makefile", *files])
    return re.sub(r'"\s+f?"', "", text)


def test_the_troubles_that_are_told_are_real() -> None:
    """Each symptom in backticks is part of a message, with … for what differs."""
    said = sources()
    symptoms = re.findall(r"(?m)^\| `([^`]+)` \|", (DOCS / "how-to" / "troubleshooting.md").read_text("utf-8"))
    parts = [part.strip(' "') for symptom in symptoms for part in symptom.split("…")]
    assert len(symptoms) > 40
    assert not [part for part in parts if part not in said]


def test_every_environment_variable_is_told() -> None:
    page = (DOCS / "reference" / "environment.md").read_text("utf-8")
    reads = re.findall(r'(?:environ\.get\(|environ\[|getenv\(|VARIABLE\w*(?:: Final)? = )"(MIVE_[A-Z_]+)"', sources())
    assert not {name for name in reads if f"`{name}`" not in page}
