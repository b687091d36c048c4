"""The plugin's own tests, run once more with a plugin that watches its memory and its arithmetic."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.native import sanitizer_runtime
from tests.plugin.conftest import REPOSITORY, Build

SKIPPED = (
    "test_build", "test_chain", "test_unloading", "test_the_plugin_has_no_thread",
    "test_sanitizers", "test_melt", "test_messages", "test_a_bridge_that_dies_a_hundred_times",
)  # fmt: skip
"""They look at the file or at the memory of the process, run elsewhere, or take too long."""


@pytest.mark.slow
def test_the_plugin_s_tests_with_sanitizers(build: Build, tmp_path: Path) -> None:
    plugin = build("-DMIVE_SANITIZE=ON")
    log = tmp_path / "sanitizer"
    environment = {
        **os.environ,
        "MIVE_TEST_PLUGIN": str(plugin),
        "LD_PRELOAD": f"{sanitizer_runtime('libasan.so')}:{sanitizer_runtime('libstdc++.so')}",
        # Python leaks on purpose: a leak does not end the run, and only the plugin's own are looked for below. Naming
        # the functions of all the others would take minutes.
        "ASAN_OPTIONS": f"detect_leaks=1:exitcode=99:symbolize=0:log_path={log}",
        "LSAN_OPTIONS": "exitcode=0",
        "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={log}",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--color=no"]
    chosen = ["tests/plugin", "-k", f"not ({' or '.join(SKIPPED)})"]
    run = subprocess.run([*command, *chosen], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    reports = "".join(path.read_text(errors="replace") for path in tmp_path.glob("sanitizer.*"))
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert "runtime error" not in reports
    assert "ERROR: AddressSanitizer" not in reports
    assert "ERROR: LeakSanitizer" in reports, "it did not look for leaks"
    leaks = re.split(r"\n\n(?=Direct leak|Indirect leak)", reports)
    assert [leak for leak in leaks if ".ofx" in leak] == []
