"""Compiled code for tests: built once for the same sources and options, kept under build/tests."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def cmake() -> str:
    """CMake, from the system or from PyPI; or the test is skipped, as without a compiler."""
    beside = Path(sys.executable).parent / "cmake"
    found = shutil.which("cmake") or (str(beside) if beside.exists() else None)
    if found is None:
        pytest.skip("cmake is missing: pip install cmake")
    if shutil.which("c++") is None:
        pytest.skip("a C++ compiler is missing: sudo apt-get install g++")
    return found


def build(folder: Path, sources: Path, made: str, *options: str) -> Path:
    """What CMake makes of sources in a folder; one build at a time, and none where ``made`` is there already."""
    program = cmake()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / made).exists():
            quiet = {"check": True, "stdout": subprocess.DEVNULL}
            subprocess.run([program, "-S", sources, "-B", folder, "-Wno-dev", *options], **quiet)
            subprocess.run(["nice", "-n", "10", program, "--build", folder, "-j1"], **quiet)
        return folder / made


def folder_of(sources: Path, *options: str, also: Sequence[Path] = ()) -> Path:
    """Where a build of these sources with these options is kept.

    Args:
        also: other files and folders that it is made from.
    """
    digest = hashlib.sha256(repr(options).encode())
    for root in (sources, *also):
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file():
                digest.update(path.name.encode() + path.read_bytes())
    return REPOSITORY / "build" / "tests" / digest.hexdigest()[:16]


def sanitizer_runtime(name: str) -> Path:
    """The compiler's file of that name, for LD_PRELOAD; or the test is skipped."""
    found = subprocess.run(["c++", f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    path = Path(found.stdout.strip())
    if not path.is_absolute():
        pytest.skip(f"{name} is missing: the compiler has no sanitizers")
    return path.resolve()


def tool(*command: str | Path) -> str:
    """What a tool of binutils prints; or the test is skipped."""
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is missing: sudo apt-get install binutils")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
