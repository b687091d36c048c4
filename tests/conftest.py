"""What every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[1]

# Read when torch is first imported, which is later. The tests run side by side, and one thread
# each gives the same floating-point sums on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a shell starts in the background ignores Ctrl-C, and so would the programs whose ends are tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine must not turn a slow example into a failure; CI repeats the same examples.
settings.register_profile("mive", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("mive")


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """``shared("clips/cups")``: a file or folder of the test material, or the test is skipped.

    The material lies in the folder ``$MIVE_SHARED``, else in ``shared/`` beside the repository.
    """
    root = Path(os.environ.get("MIVE_SHARED") or REPOSITORY.parent / "shared")

    def find(relative: str) -> Path:
        path = root / relative
        if not path.exists():
            pytest.skip(f"test material {relative} is not in {root}; set MIVE_SHARED to its folder")
        return path

    return find
