"""A server in this process that edits: colours are inverted where a matte covers them."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.client.fake_server import FakeJob, FakeServer, edited

from mive.media import Pixels, open_clip, open_mattes
from mive.request import EditRequest
from mive.v1 import mive_pb2
from mive.wire.request import request_from_message, settings_from_message


class EditingServer(FakeServer):
    """See `tests.client.fake_server`; the mattes of requests that name paths are heeded.

    Attributes:
        requests: all edits that were stored.
    """

    def __init__(self, *arguments: Any, **behaviour: Any) -> None:
        super().__init__(*arguments, **behaviour)
        self.requests: list[mive_pb2.SubmitJobRequest] = []

    def _store(self, submitted: mive_pb2.SubmitJobRequest) -> FakeJob:
        job = super()._store(submitted)
        self.requests.append(submitted)
        settings_from_message(submitted.request.settings)
        if submitted.request.clip.path:
            job.frames = render(request_from_message(submitted.request), job.frames)
        return job


def render(request: EditRequest, frames: dict[int, Pixels]) -> dict[int, Pixels]:
    """What this server makes of an edit, with mattes of the frames given."""
    clip = open_clip(request.clip)
    from mive.request import FrameRange

    asked = FrameRange(min(frames), max(frames))
    fit = request.settings.matte_fit or "exact"
    mattes = open_mattes(request.mattes, request.instances, clip.info, asked, fit)
    made = {}
    for index, source in zip(asked.indices(), clip.read(asked), strict=True):
        covered = (mattes.read(index) > 0).any(axis=0)
        made[index] = np.where(covered[..., None], edited(source), source)
    return made
