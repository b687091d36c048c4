"""States, priorities and stages of jobs as enum values and back."""

from __future__ import annotations

from mive.base.jobs import PRIORITIES, STATES, USUAL_PRIORITY, JobState, Priority
from mive.v1 import job_pb2
from mive.wire.progress import STAGES
from mive.wire.words import known_word, number_of

_STATE = job_pb2.DESCRIPTOR.enum_types_by_name["JobState"]
_STAGE = job_pb2.DESCRIPTOR.enum_types_by_name["JobStage"]
_PRIORITY = job_pb2.DESCRIPTOR.enum_types_by_name["Priority"]


def state_to_message(state: JobState) -> job_pb2.JobState.ValueType:
    """``"done"`` as ``JOB_STATE_DONE``."""
    return job_pb2.JobState.ValueType(number_of(_STATE, state))


def state_from_message(number: int) -> JobState | None:
    """``JOB_STATE_DONE`` as ``"done"``; None for what is no state here."""
    return known_word(_STATE, number, STATES)


def priority_to_message(priority: Priority) -> job_pb2.Priority.ValueType:
    """``"batch"`` as ``PRIORITY_BATCH``."""
    return job_pb2.Priority.ValueType(number_of(_PRIORITY, priority))


def priority_from_message(number: int) -> Priority | None:
    """``PRIORITY_BATCH`` as ``"batch"``, which UNSPECIFIED is too; None for what is no priority here."""
    return known_word(_PRIORITY, number, PRIORITIES) if number else USUAL_PRIORITY


def stage_to_message(stage: str) -> job_pb2.JobStage.ValueType:
    """``"sampling"``, as `mive.base.progress.Progress` has it, as ``JOB_STAGE_STEP``."""
    return job_pb2.JobStage.ValueType(number_of(_STAGE, STAGES[stage]))


def stage_from_message(number: int) -> str | None:
    """``JOB_STAGE_STEP`` as ``"sampling"``; None for what is no stage here."""
    word = known_word(_STAGE, number, tuple(STAGES.values()))
    return next((stage for stage, event in STAGES.items() if event == word), None)
