"""Points in time and spans of it, as messages and back."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


def time_of(message: Timestamp) -> datetime:
    """The time, in UTC."""
    return message.ToDatetime(tzinfo=UTC)


def duration_of(seconds: float) -> Duration:
    """That many seconds, to the millisecond."""
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration


def seconds_of(message: Duration) -> float:
    """The span in seconds."""
    return message.seconds + message.nanos / 1e9
