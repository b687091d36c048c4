"""Progress becomes the event of its stage, and comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mive.base.progress import Progress
from mive.errors import RequestError
from mive.v1 import job_pb2
from mive.wire.progress import STAGES, eta_of, is_progress, progress_from_event, progress_to_event

numbers = st.integers(0, 2**32 - 1)


@given(
    st.builds(Progress, st.sampled_from(list(STAGES)), numbers, numbers, numbers, numbers),
    st.none() | st.floats(0, 1e6),
)
def test_progress_comes_back_as_it_was(progress: Progress, eta: float | None) -> None:
    data = progress_to_event(progress, eta=eta).SerializeToString()
    event = job_pb2.JobEvent.FromString(data)
    assert is_progress(event)
    assert progress_from_event(event) == progress
    assert eta_of(event) == (None if eta is None else pytest.approx(eta, abs=1e-9))


def test_a_denoising_step_is_a_step_event() -> None:
    event = progress_to_event(Progress("sampling", 3, 20), eta=12.5)
    assert event.WhichOneof("event") == "step"
    assert (event.step.done, event.step.total, event.step.eta.seconds) == (3, 20, 12)


def test_other_events_tell_of_no_progress() -> None:
    event = job_pb2.JobEvent(done=job_pb2.Done())
    assert not is_progress(event)
    assert eta_of(event) is None
    with pytest.raises(RequestError, match="done tells of no progress"):
        progress_from_event(event)
