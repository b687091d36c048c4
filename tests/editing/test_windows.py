"""Windows cover a clip once and blend their seams."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from mive.editing.windows import make_windows


def test_a_short_clip_is_one_window() -> None:
    (window,) = make_windows(7, 16, 4)
    assert (window.first, window.length, window.shared, window.final) == (0, 7, 0, 7)


@given(st.integers(1, 200), st.integers(1, 24), st.data())
def test_every_frame_is_finished_exactly_once(frames: int, window: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, window - 1))
    windows = make_windows(frames, window, overlap)
    finished = [w.first + k for w in windows for k in range(w.final)]
    assert finished == list(range(frames))
    assert all(w.length <= window for w in windows)
    assert all(b.shared == a.length - a.final for a, b in pairwise(windows))


def test_blending_equal_windows_changes_nothing_and_is_a_ramp() -> None:
    window = make_windows(10, 6, 3)[1]
    assert window.shared == 3
    now = torch.zeros(6, 1, 1, 1)
    assert torch.equal(window.blend(torch.zeros(3, 1, 1, 1), now), now)
    mixed = window.blend(torch.ones(3, 1, 1, 1), now).flatten()
    assert torch.allclose(mixed, torch.tensor([0.75, 0.5, 0.25, 0, 0, 0]))
