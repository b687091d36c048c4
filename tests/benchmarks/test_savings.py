"""The table of savings, on one small clip, and the plain implementation's attention."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from benchmarks import plain

ROOT = Path(__file__).parents[2]


def test_plain_attention_in_pieces_is_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits of a whole window would not fit any GPU."""
    q, k, v = (torch.randn(2, 3, tokens, 8) for tokens in (50, 40, 40))
    expected = F.scaled_dot_product_attention(q, k, v)
    for limit in (1, 2 * 3 * 40 * 7, 10**9):
        monkeypatch.setattr(plain, "LOGITS_PER_CHUNK", limit)
        torch.testing.assert_close(plain._eager(q, k, v), expected)


@pytest.mark.slow
def test_the_table_holds_each_row_against_the_exact_method(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("mive")
    make = [program, "bench", "make-toy", tmp_path / "toy", "--clips", "2", "--frames", "2", "-q"]
    subprocess.run(make, check=True, capture_output=True)
    command = [
        sys.executable, "benchmarks/savings.py", tmp_path / "toy", "--work", tmp_path / "work",
        "--rows", "plain,full,pasted", "--before", program, "--preset", "paper",
        *("--set", "steps=2", "--set", "inversion_steps=2", "--set", "model_size=64", "--table", tmp_path / "table.md"),
    ]  # fmt: skip
    for _ in range(2):
        done = subprocess.run([*command, "--clips", "0-1"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    text = (tmp_path / "table.md").read_text()
    scores, _, differences = text.partition("less the exact method")
    rows = {line.split("|")[1].strip(): line for line in scores.splitlines() if line.startswith("| ")}
    assert {"a plain implementation", "before", "the exact method", "LPS with one unconditional pass"} <= set(rows)
    assert "| +0.000 [+0.000, +0.000] |" in differences, "before is this checkout"
    assert "2 clips of toy" in text
    ours, theirs = (rows[name].split("|")[4:] for name in ("the exact method", "before"))
    assert ours == theirs
