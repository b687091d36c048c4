"""What every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from fractions import Fraction
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


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion's layout, small, with random weights."""
    from tests.networks import sd15

    return sd15.save_sd15(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of 96 × 64 with two moving squares; the second leaves the frame after the third."""
    import numpy as np

    from mive.media import open_writer
    from mive.media.info import ClipInfo
    from mive.request import FrameRange

    folder = tmp_path_factory.mktemp("shot")
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 180, (64, 96, 3), dtype=np.uint8)
    info = ClipInfo(path=folder / "clip.mkv", width=96, height=64, frames=6, rate=Fraction(24))
    flat = ClipInfo(path=folder / "mattes", width=96, height=64, frames=6, rate=Fraction(24))
    whole = FrameRange(0, 5)
    with open_writer(folder / "clip.mkv", info, whole) as clip, open_writer(folder / "mattes", flat, whole) as mattes:
        for t in range(6):
            ids = np.zeros((64, 96), np.uint8)
            ids[10:34, 8 + 3 * t : 32 + 3 * t] = 1
            if t < 3:
                ids[36:60, 60:84] = 2
            frame = ground.copy()
            frame[ids == 1], frame[ids == 2] = (200, 40, 40), (40, 60, 200)
            clip.write(frame)
            mattes.write(np.repeat(ids[..., None], 3, 2))
    return folder
