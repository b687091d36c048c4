"""What the processor is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from mive.engines.processor import cpu_bf16


@pytest.mark.parametrize(("flags", "bf16"), [("fpu sse avx512_bf16", True), ("amx_bf16", True), ("fpu avx2", False)])
def test_bf16_is_read_from_the_processors_flags(tmp_path: Path, flags: str, bf16: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"model name\t: Some CPU\nflags\t\t: {flags}\n")
    assert cpu_bf16(cpuinfo) is bf16
    assert cpu_bf16(tmp_path / "missing") is None
