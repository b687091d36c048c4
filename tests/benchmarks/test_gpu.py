"""The command for a GPU machine, tried at small sizes without one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_dry_run_writes_the_report(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/gpu", "--out", str(tmp_path), "--dry", "--minutes", "3"]
    done = subprocess.run(
        [*command, "--parts", "kernels,method"], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": done in ") == 2
    figures = json.loads((tmp_path / "method.json").read_text())
    assert figures["2 items (LPS)"] > 0
    assert figures["plan"] > figures["fast plan"] > 0
    assert "| Reinvert | 32 |" in (tmp_path / "method.md").read_text()


def test_a_part_that_takes_too_long_is_stopped_and_its_output_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks/gpu"))
    import importlib.util

    spec = importlib.util.spec_from_file_location("gpu_main", ROOT / "benchmarks/gpu/__main__.py")
    assert spec is not None
    assert spec.loader is not None
    main = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_main", main)
    spec.loader.exec_module(main)
    endless = main.Part(("-c", "import time; print('begun'); time.sleep(60)"), 1.0)
    assert main.run("endless", endless, 2.0, tmp_path) == "stopped at its 2 s"
    assert (tmp_path / "endless.txt").read_text() == "begun\n"
    failing = main.Part(("-c", "raise SystemExit(3)"), 1.0)
    assert main.run("failing", failing, 20.0, tmp_path).startswith("FAILED (3)")
