"""``mive render`` as a process, with a stand-in for ``mive``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.resolve.conftest import Program

from mive_resolve import process as module
from mive_resolve.process import Rendered, RenderProcess, environment
from mive_resolve.refusal import Refusal


def finish(process: RenderProcess) -> Rendered:
    for _ in range(3000):
        if (rendered := process.poll()) is not None:
            return rendered
        time.sleep(0.01)
    raise AssertionError("it does not end")


def wait_for(process: RenderProcess, text: str) -> None:
    for _ in range(3000):
        if text in process.progress:
            return
        time.sleep(0.01)
    raise AssertionError(process.progress)


def rests() -> list[Path]:
    return list(Path(os.environ["TMPDIR"]).glob("mive-resolve-*"))


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)


def test_progress_and_result(program: Program, tmp_path: Path) -> None:
    program.hold()
    process = RenderProcess([program.path, "render", "-o", str(tmp_path / "out.mov")])
    wait_for(process, "editing 1/4, 0:07 left in all")
    assert process.poll() is None
    program.release()
    assert finish(process) == Rendered(tmp_path / "out.mov", 20, ("mind the gap",))
    assert rests() == []


def test_resolves_own_libraries_and_python_are_not_mives(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "DYLD_INSERT_LIBRARIES", "QT_PLUGIN_PATH"):
        monkeypatch.setenv(name, "/opt/resolve")
    assert "/opt/resolve" not in environment(os.environ).values()
    monkeypatch.setenv("MIVE_TOKEN_FILE", "/home/anna/token")
    finish(RenderProcess([program.path, "-o", str(tmp_path / "out.mov")]))
    assert "/opt/resolve" not in program.environment.values()
    assert program.environment["MIVE_TOKEN_FILE"] == "/home/anna/token"


def test_cancelling_ends_it_and_says_so(program: Program, tmp_path: Path) -> None:
    program.hold()
    process = RenderProcess([program.path, "-o", str(tmp_path / "out.mov")])
    wait_for(process, "editing")
    process.cancel()
    with pytest.raises(Refusal, match=r"Cancelled\. Nothing was changed"):
        finish(process)
    assert not (tmp_path / "out.mov").exists()
    assert rests() == []


def test_one_that_does_not_listen_is_killed(
    make_program: Callable[..., Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GRACE", 0.2)
    program = make_program(
        'signal.signal(signal.SIGTERM, signal.SIG_IGN); print("deaf", file=sys.stderr, flush=True); time.sleep(60)'
    )
    process = RenderProcess([program.path, "-o", str(tmp_path / "out.mov")])
    wait_for(process, "deaf")
    process.cancel()
    with pytest.raises(Refusal, match="Cancelled"):
        finish(process)


@pytest.mark.parametrize(
    ("ending", "what", "fix"),
    [
        (
            'print(json.dumps({"error": "MatteError", "what": "no matte", "fix": "Make one"})); sys.exit(3)',
            "no matte",
            "Make one",
        ),
        (
            'print(json.dumps({"error": "RequestError", "what": "too large", "field": "seed"})); sys.exit(2)',
            "seed: too large",
            "Change it",
        ),
        (
            'print("no module named numpy", file=sys.stderr); sys.exit(1)',
            "code 1: no module named numpy",
            "mive doctor",
        ),
        ("os.kill(os.getpid(), 9)", "code -9: editing 1/4", "mive doctor"),
        ('print("{}")', "code 0", "mive doctor"),
        ('print("[]")', "code 0", "mive doctor"),
    ],
)
def test_a_failure_is_told_as_mive_tells_it(
    make_program: Callable[..., Program], tmp_path: Path, ending: str, what: str, fix: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        finish(RenderProcess([make_program(ending).path, "-o", str(tmp_path / "out.mov")]))
    assert what in refusal.value.what
    assert fix in refusal.value.fix
    assert rests() == []


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="mive plugin install --resolve"):
        RenderProcess([str(tmp_path / "mive")])
    assert rests() == []
