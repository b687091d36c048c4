"""The script as Resolve runs it: from the menu to the timeline, by what the user sees and does."""

from __future__ import annotations

import ast
import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.resolve.conftest import Program, Scene
from tests.resolve.fake_fusion import Window

from mive_resolve.form import Form
from mive_resolve.menu import main

SOURCES = Path(__file__).resolve().parents[2] / "plugin_bridge" / "resolve"
Play = Callable[..., Window]


@pytest.fixture
def play(scene: Scene, program: Program) -> Play:
    """``play(scenario)``: the script runs, and the user does what the scenario says; returns the last window."""

    def run(scenario: Callable[[Window], None] = lambda window: None) -> Window:
        installed = {"mive": program.path, "presets": ["draft", "standard", "paper"], "usual": "standard"}
        (program.folder / "mive.json").write_text(json.dumps(installed))
        scene.resolve.fusion.scenario = scenario
        main(scene.resolve, scene.resolve.bmd, str(program.folder))
        return scene.resolve.fusion.windows[-1]

    return run


def fill(window: Window, form: Form) -> None:
    window.type("Captions", form.captions)
    window.type("Mattes", form.mattes)
    window.type("Folder", form.folder)


def until(window: Window, text: str) -> None:
    for _ in range(3000):
        window.tick()
        if text in window.status:
            return
        time.sleep(0.01)
    raise AssertionError(window.status)


def test_from_the_menu_to_the_timeline(play: Play, scene: Scene, form: Form, program: Program) -> None:
    def user(window: Window) -> None:
        fill(window, form)
        assert window.status == "Ready"
        window.click("Render")
        assert not window.elements["Render"].Enabled
        assert window.elements["Cancel"].Enabled
        until(window, "Done")

    window = play(user)
    out = Path(form.folder) / "shot_mive_10-29_v001.mov"
    assert window.status == f"Done: {out}\nWarning: mind the gap"
    assert window.elements["Render"].Enabled
    assert not window.visible
    assert program.arguments[:4] == ["render", str(scene.file), "--frames", "10-29"]
    assert [(track.name, [item.start for item in track.items]) for track in scene.timeline.tracks] == [
        ("Video 1", [86500]),
        ("MIVE", [86500]),
    ]
    timer = scene.resolve.fusion.timer
    assert timer is not None
    assert not timer.running


def test_fields_are_checked_while_they_are_typed(play: Play, form: Form) -> None:
    def user(window: Window) -> None:
        assert "There are no captions" in window.status
        assert not window.elements["Render"].Enabled
        window.type("Captions", "1 a ball")
        assert "line 1: there is no colon" in window.status
        fill(window, form)
        window.type("Seed", "x")
        assert 'Seed: "x"' in window.status
        window.click("Render")
        window.type("Seed", "")
        assert window.status == "Ready"
        assert window.elements["Render"].Enabled

    play(user)
    assert not Path(form.folder).exists()


def test_presets_and_browsing(play: Play, scene: Scene, form: Form, program: Program) -> None:
    def user(window: Window) -> None:
        fill(window, form)
        assert window.elements["Preset"].choices == ["draft", "standard", "paper"]
        window.elements["Preset"].CurrentIndex = 2
        scene.resolve.fusion.chosen = None
        window.click("MattesFile")
        assert window.elements["Mattes"].Text == form.mattes, "the user thought better of it"
        scene.resolve.fusion.chosen = str(scene.file)
        window.click("MattesFile")
        window.click("Render")
        until(window, "Done")

    play(user)
    assert program.arguments[program.arguments.index("--mattes") + 1] == str(scene.file)
    assert program.arguments[program.arguments.index("--preset") + 1] == "paper"


def test_cancelling_leaves_the_timeline_and_what_was_typed(
    play: Play, scene: Scene, form: Form, program: Program
) -> None:
    def user(window: Window) -> None:
        program.hold()
        fill(window, form)
        window.click("Render")
        until(window, "editing 1/4")
        window.click("Cancel")
        assert window.status == "Cancelling"
        until(window, "Cancelled")
        assert window.elements["Captions"].PlainText == form.captions
        program.release()
        window.click("Render")
        until(window, "Done")

    play(user)
    assert len(scene.timeline.tracks) == 2


def test_closing_the_window_ends_the_render(play: Play, scene: Scene, form: Form, program: Program) -> None:
    def user(window: Window) -> None:
        program.hold()
        fill(window, form)
        window.click("Render")
        until(window, "editing 1/4")
        window.click("Close")
        assert scene.resolve.fusion.last.ended

    play(user)
    assert len(scene.timeline.tracks) == 1
    assert not Path(form.folder).exists()


def test_an_error_of_resolves_own_does_not_lose_the_edited_clip(
    play: Play, scene: Scene, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene.project.pool, "ImportMedia", None)

    def user(window: Window) -> None:
        fill(window, form)
        window.click("Render")
        until(window, "Resolve failed")
        assert window.elements["Render"].Enabled

    window = play(user)
    assert f"The edited clip is {form.folder}/shot_mive_10-29_v001.mov" in window.status


def test_an_error_in_a_handler_is_shown_and_the_window_stays(
    play: Play, scene: Scene, form: Form, capsys: pytest.CaptureFixture[str]
) -> None:
    def user(window: Window) -> None:
        fill(window, form)
        window.elements["Preset"].CurrentIndex = 99
        window.click("Render")
        assert "IndexError" in window.status

    play(user)
    assert "Traceback" in capsys.readouterr().err


def test_a_clip_that_cannot_be_edited_is_told_in_a_window(
    play: Play, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.item.speed = 2.0
    window = play(lambda window: window.click("Close"))
    assert "retimed" in window.status
    assert "Captions" not in window.elements
    assert "retimed" in capsys.readouterr().out


def test_an_edition_without_windows_says_so_in_the_console(
    play: Play, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.resolve.fusion.UIManager = None
    with pytest.raises(IndexError):
        play()
    assert "it has to be Studio" in capsys.readouterr().out


def test_outside_of_resolve(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(SOURCES / "MIVE.py"))
    sys.path.remove("")
    assert "Workspace > Scripts > MIVE" in capsys.readouterr().out


def modules() -> Iterator[Path]:
    yield SOURCES / "MIVE.py"
    yield from sorted((SOURCES / "mive_resolve").glob("*.py"))


def test_it_imports_the_standard_library_only() -> None:
    allowed = {*sys.stdlib_module_names, "mive_resolve"}
    for path in modules():
        for node in _run_time(ast.parse(path.read_text(), feature_version=(3, 8))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            assert {name.partition(".")[0] for name in names} <= allowed, path


def _run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that are executed; imports for types are not."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from _run_time(node)


def test_it_runs_in_an_old_python() -> None:
    works = (path for path in _old_pythons() if path.exists() and not subprocess.run([path, "-c", ""]).returncode)
    if (old := next(works, None)) is None:
        pytest.skip("there is no Python 3.8 here")
    code = "import mive_resolve.menu as menu; menu.main(None, None, '')"
    environment = {"PYTHONPATH": str(SOURCES), "PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run([old, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "Start this from DaVinci Resolve" in said.stdout


def _old_pythons() -> Iterator[Path]:
    for folder in os.environ["PATH"].split(os.pathsep):
        yield Path(folder) / "python3.8"
    yield from Path.home().glob(".pyenv/versions/3.8.*/bin/python")
