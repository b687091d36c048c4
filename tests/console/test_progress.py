"""Progress lines, bars, and what happens when a command is stopped."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import mive as package
from mive.base.progress import Progress
from mive.console.progress import Lines, resident_bytes, shown
from mive.console.stopping import stoppable
from mive.evaluate.toyworld.clip import ToyClip

BACKEND = str(Path(package.__file__).parents[1])


def test_a_line_when_a_stage_starts_and_ends_and_now_and_then_between() -> None:
    now = 0.0
    stream = io.StringIO()
    lines = Lines(stream, clock=lambda: now)
    for done in range(41):
        lines(Progress("inversion", done, 40))
        now += 1
    heads = [line.split(",")[0] for line in stream.getvalue().splitlines()]
    steps = ("0/40", "10/40", "20/40", "30/40", "40/40")
    assert heads == [f"inverting the source {step}" for step in steps]


def test_a_line_tells_the_time_left_the_window_and_the_memory() -> None:
    now = 0.0
    stream = io.StringIO()
    lines = Lines(stream, clock=lambda: now)
    lines(Progress("sampling", 0, 100, 1, 2))
    now = 60.0
    lines(Progress("sampling", 50, 100, 2, 2))
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("editing 50/100, window 2/2, 1:00 left")
    if resident_bytes() is not None:
        assert last.endswith("MB")


def test_bars_are_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with shown() as report:
        report(Progress("load", 1, 1))
        report(Progress("sampling", 3, 12))
    assert "loading the model" in terminal.getvalue()
    assert "3/12" in terminal.getvalue()


def test_ctrl_c_and_the_like_are_one_interrupt_and_cannot_disturb_the_clearing_up() -> None:
    before = signal.getsignal(signal.SIGTERM)
    cleared = []

    def edit() -> None:
        with stoppable():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                signal.pause()
            finally:
                os.kill(os.getpid(), signal.SIGINT)
                cleared.append(True)

    with pytest.raises(KeyboardInterrupt):
        edit()
    assert cleared
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_stopped_edit_leaves_nothing(number: signal.Signals, toy: ToyClip, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "edited.mkv"
    command = [
        sys.executable, "-c", "import sys; from mive.cli import main; sys.exit(main())",
        "edit", str(toy.videos[0]), "--mattes", str(toy.mattes), "--edit", "1=a red ball",
        "--bundle", str(bundle), "--set", "steps=250", "--no-cache", "-o", str(out),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": BACKEND}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("inverting"):
            break
    assert list(tmp_path.rglob("*.partial"))
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "Error: stopped. Nothing unfinished was left behind."
    assert not out.parent.exists()
