"""Submitting, looking at and cancelling jobs."""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from mive.base.jobs import STATES, JobState, Priority
from mive.errors import MediaError, RequestError
from mive.networks.bundle_files import BUNDLES_FOLDER
from mive.request import EditRequest
from mive.server.errors import NotThereYet
from mive.server.inputs import Inputs
from mive.server.jobs import Handles, Job, Submission, unreadable
from mive.server.results import Results
from mive.server.roots import Roots
from mive.server.rpc.labels import checked_labels
from mive.server.rpc.messages import add_details, job_to_message
from mive.server.rpc.pages import page_size
from mive.server.store import JobStore
from mive.server.work import Call, Pools, Turns
from mive.v1 import edit_pb2, job_pb2, mive_pb2
from mive.wire.jobs import priority_from_message, state_from_message
from mive.wire.request import Source, request_from_message
from mive.wire.words import refuse_unknown

VANISHED: Final = "Nobody watched it any longer"

PATH_SECONDS: Final = 60.0
"""A disk on a network that does not answer for so long is not waited for."""

_MOST_KEY: Final = 128
_MOST_HANDLES: Final = 10_000
_MOST_PARTS: Final = 100_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobRules:
    """What a submitted job may ask for.

    Attributes:
        bundle: of the server, for requests that leave it open.
        roots: folders that clients may name files in.
        most_instances: of one job.
        most_frames: of one job.
    """

    bundle: str
    roots: Roots
    most_instances: int
    most_frames: int

    def check_size(self, message: edit_pb2.EditRequest) -> None:
        """Refuse what would take long to look at: a request of 4 MiB can hold a million empty messages.

        Raises:
            RequestError: naming the field.
        """
        if len(message.instances) > self.most_instances:
            raise _wrong("instances", f"{len(message.instances)} instances", f"at most {self.most_instances}")
        mattes = [message.mattes, *(instance.matte for instance in message.instances)]
        files = len(message.clip.files.files) + sum(len(matte.files.files) for matte in mattes)
        frames = sum(len(matte.runs.frames) for matte in mattes)
        if files + frames > _MOST_PARTS:
            raise _wrong(
                "request", f"{files} files and {frames} frames of runs", f"at most {_MOST_PARTS} in one request"
            )

    def check(self, request: EditRequest) -> None:
        """Refuse what is too much, and bundles that are not for clients to choose.

        Raises:
            RequestError: naming the field.
        """
        if request.frames is not None and len(request.frames) > self.most_frames:
            raise _wrong("frames", f"{len(request.frames)} frames", f"at most {self.most_frames} in one job")
        if not self._knows(request.bundle):
            expected = f'"{self.bundle}", which this server runs, or another that comes with MIVE'
            raise _wrong("bundle", f'the bundle "{request.bundle[:80]}" is not for this server to load', expected)

    def check_paths(self, request: EditRequest) -> None:
        """Refuse what can be opened and never read.

        Raises:
            RequestError: a path leads to no file or folder.
        """
        for path in request.sources().values():
            if _is_special(Path(path)):
                raise _wrong("clip or mattes", "a path leads to no file or folder", "a video, an image or a folder")

    def _knows(self, bundle: str) -> bool:
        """A hub id would let clients make the server fetch whatever they name."""
        if bundle == self.bundle or (bundle.isidentifier() and (BUNDLES_FOLDER / bundle).is_dir()):
            return True
        try:
            self.roots.check(bundle, "bundle")
        except RequestError:
            return False
        return True


@dataclass(frozen=True)
class JobCalls:
    """The calls about jobs; all of them block and run in threads.

    Attributes:
        check_ready: raises while no jobs are taken.
        turns: of those that stage.
    """

    store: JobStore
    results: Results
    inputs: Inputs
    rules: JobRules
    check_ready: Callable[[], None]
    pools: Pools
    turns: Turns

    async def submit(self, owner: str, asked: mive_pb2.SubmitJobRequest, watched: bool = False) -> tuple[Job, bool]:
        """Store a job, and say whether it is new.

        Args:
            watched: it is an interactive preview that lives as long as its stream.

        Raises:
            MiveError: why it is not taken.
        """
        self.check_ready()
        # Before anything is looked at one by one.
        self.rules.check_size(asked.request)
        work = partial(self._submit, owner, asked, watched)
        undo = partial(self._forsake, owner) if watched else None
        if brings_frames(asked.request):
            async with self.turns.of(owner):
                return await self.pools.staging.run(work, undo)
        return await self._with_paths(work, undo)

    async def retry(self, owner: str, asked: mive_pb2.RetryJobRequest) -> tuple[Job, bool]:
        """Store a job that failed or was cancelled once more, and say whether that is new.

        Raises:
            JobNotFound: the owner has none of that id.
            NotThereYet: it has not ended, or is done, or what it was submitted with is gone.
            MiveError: why it is not taken.
        """
        self.check_ready()
        return await self._with_paths(partial(self._retry, owner, asked))

    async def _with_paths(
        self, work: Callable[[Call], tuple[Job, bool]], undo: Callable[[tuple[Job, bool]], None] | None = None
    ) -> tuple[Job, bool]:
        try:
            async with asyncio.timeout(PATH_SECONDS):
                return await self.pools.paths.run(work, undo)
        except TimeoutError:
            raise MediaError(
                f"the disk of the clip or the mattes did not answer within {PATH_SECONDS:.0f} seconds",
                expected="files on a disk that answers",
                fix="Look at the disks that the server has mounted, or upload the files",
            ) from None

    def _forsake(self, owner: str, stored: tuple[Job, bool]) -> None:
        """A preview was stored for a stream that had ended."""
        job, new = stored
        if new:
            self.store.cancel(owner, job.id, VANISHED)

    def _submit(self, owner: str, asked: mive_pb2.SubmitJobRequest, watched: bool, call: Call) -> tuple[Job, bool]:
        # Before anything is copied: a full queue is told at once.
        self.store.check_room(owner, asked.idempotency_key or None)
        refuse_unknown(asked)
        key = _key(asked.idempotency_key)
        labels = checked_labels(asked.labels)
        handles = Handles(asked.handles.before, asked.handles.after)
        if max(handles.before, handles.after) > _MOST_HANDLES:
            raise _wrong("handles", "the handles are too long", f"at most {_MOST_HANDLES} frames on each side")
        priority: Priority = "interactive" if watched else _priority(asked.priority)
        patience = _seconds(asked) if asked.HasField("deadline") else None
        # All that can be wrong without the frames is found before they are written.
        self.rules.check(request_from_message(asked.request, bundle=self.rules.bundle, name_source=_unstaged))
        name = self.inputs.name_source(owner, call)
        request = request_from_message(asked.request, bundle=self.rules.bundle, name_source=name)
        self.rules.check_paths(request)
        call.check()
        submission = Submission(
            owner=owner,
            request=request,
            priority=priority,
            key=key,
            patience=patience,
            handles=handles,
            preview_every=asked.preview_every,
            watched=watched,
            labels=labels,
        )
        return self.store.submit(submission)

    def _retry(self, owner: str, asked: mive_pb2.RetryJobRequest, call: Call) -> tuple[Job, bool]:
        refuse_unknown(asked)
        key, job = _key(asked.idempotency_key), self.store.get(owner, asked.job_id)
        if job.request is None:
            raise unreadable("request")
        if job.state not in ("failed", "cancelled"):
            raise NotThereYet(
                f"the job is {job.state}",
                expected="a job that failed or was cancelled",
                fix="Fetch its frames" if job.finished else "Wait for its end, or cancel it",
            )
        if not self.inputs.keep(job.request.sources().values()):
            raise NotThereYet(
                "what the job was submitted with is no longer kept",
                expected="a job that ended a short while ago, or one whose files lie where the server can read them",
                fix="Submit it again",
            )
        self.rules.check_paths(job.request)
        return self.store.submit(
            Submission(
                owner=owner,
                request=job.request,
                priority=job.priority,
                key=key,
                patience=job.patience,
                handles=job.handles,
                preview_every=job.preview_every,
                labels=self.store.labels([job.id]).get(job.id, {}),
                retry_of=job.id,
            )
        )

    async def message(self, owner: str, job_id: str, details: bool = False) -> job_pb2.Job:
        """A job as clients see it.

        Raises:
            JobNotFound: the owner has none of that id.
        """
        return await asyncio.to_thread(self._message, owner, job_id, details)

    def _message(self, owner: str, job_id: str, details: bool) -> job_pb2.Job:
        job = self.store.get(owner, job_id)
        message = self._brief(job, self.store.labels([job.id]))
        if details:
            add_details(message, job, self.inputs.redact)
        return message

    def _brief(self, job: Job, labels: Mapping[str, Mapping[str, str]]) -> job_pb2.Job:
        position = self.store.position(job.owner, job.id) if job.state == "queued" else None
        frames, now = self.results.of(job.id).indices(), self.store.database.clocks.steady()
        return job_to_message(job, position, frames, self.inputs.redact, labels.get(job.id, {}), now)

    async def list(self, owner: str, asked: mive_pb2.ListJobsRequest) -> mive_pb2.ListJobsResponse:
        """One page of the owner's jobs.

        Raises:
            RequestError: the states or the page cannot be.
        """
        return await asyncio.to_thread(self._list, owner, asked)

    def _list(self, owner: str, asked: mive_pb2.ListJobsRequest) -> mive_pb2.ListJobsResponse:
        size = page_size(asked.page_size, "jobs")
        states = [_state(number) for number in set(asked.states)]
        jobs = self.store.jobs(owner, size + 1, asked.page_token or None, states, checked_labels(asked.labels))
        labels = self.store.labels([job.id for job in jobs])
        page = mive_pb2.ListJobsResponse(jobs=[self._brief(job, labels) for job in jobs[:size]])
        if len(jobs) > size:
            page.next_page_token = jobs[size - 1].id
        return page

    async def cancel(self, owner: str, job_id: str, reason: str = "Its user cancelled it") -> job_pb2.Job:
        """Stop a job within one step.

        Raises:
            JobNotFound: the owner has none of that id.
        """
        await asyncio.to_thread(self.store.cancel, owner, job_id, reason)
        log.info("job %s is to be cancelled", job_id)
        return await self.message(owner, job_id)

    async def manifest(self, owner: str, job_id: str) -> str:
        """The manifest of a job as JSON.

        Raises:
            JobNotFound: the owner has none of that id.
            NotThereYet: it is not done.
        """
        job = await asyncio.to_thread(self.store.get, owner, job_id)
        if job.manifest is None:
            raise NotThereYet(
                f"the job is {job.state}, so it has no manifest",
                expected="a job that is done",
                fix="Watch it to its end",
            )
        return self.inputs.redact(job.manifest, apart=True)


def brings_frames(message: edit_pb2.EditRequest) -> bool:
    """Frames or runs have to be written before the job can be stored; uploaded files only get another name."""
    sources = [message.clip, message.mattes, *(instance.matte for instance in message.instances)]
    return any(source.WhichOneof("source") not in (None, "path", "files") for source in sources)


def _unstaged(source: Source, field: str) -> str:
    """In place of a name that is not known yet."""
    return f"/{field}"


def _key(text: str) -> str | None:
    if len(text) > _MOST_KEY:
        raise _wrong("idempotency_key", "the key is too long", f"at most {_MOST_KEY} characters")
    return text or None


def _is_special(path: Path) -> bool:
    """It is a device, a pipe or a socket: whoever opens it may wait for ever. What is not there is none of them."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _priority(number: int) -> Priority:
    if (priority := priority_from_message(number)) is not None:
        return priority
    raise _wrong("priority", f"{number} is no priority", "INTERACTIVE or BATCH")


def _state(number: int) -> JobState:
    if (state := state_from_message(number)) is not None:
        return state
    raise _wrong("states", f"{number} is no state", f"one of {', '.join(STATES).upper()}")


def _seconds(asked: mive_pb2.SubmitJobRequest) -> float:
    seconds = asked.deadline.seconds + asked.deadline.nanos / 1e9
    if not 0 < seconds < 1e9:
        raise _wrong("deadline", f"{seconds} seconds", "more than 0 seconds")
    return float(seconds)


def _wrong(field: str, what: str, expected: str) -> RequestError:
    return RequestError(what, expected=expected, fix=f"Correct {field}", field=field)
