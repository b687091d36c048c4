"""Tries spoilt things at a server, and judges the answers."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc
from tests.server.fuzzing import (
    COUNT,
    HEIGHT,
    NUMBERS,
    REALS,
    TEXTS,
    WIDTH,
    Material,
    spoil_bytes,
    spoil_fields,
    spoil_file,
)
from tests.server.served import Served, a_submission

from mive.errors import MiveError
from mive.server.store import JobStore
from mive.v1 import edit_pb2, error_pb2, job_pb2, media_pb2, mive_pb2
from mive.wire.chunks import split_upload, upload_id_of
from mive.wire.errors import STATUS_DETAILS, read_status

SECONDS: Final = 5.0
"""An answer that takes longer is a hang."""

PATIENCE: Final = 60.0
"""Seconds to wait for it all the same, since the machine may be busy."""

_METHODS: Final = mive_pb2.DESCRIPTOR.services_by_name["Mive"].methods_by_name
_MOST_MESSAGES: Final = 500

COLUMNS: Final = (
    "request", "priority", "state", "deadline", "created", "updated", "started", "ended", "attempts", "fruitless",
    "cancelling", "window", "first", "last", "last_event", "error", "manifest", "before", "after", "preview_every",
    "watched", "clip", "patience", "due", "boot", "ending", "unneeded", "retry_of", "stage", "share", "eta", "told",
)  # fmt: skip
"""Of the table of jobs, but those that say which job it is."""
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

Verdict: TypeAlias = tuple[str, str]
"""What an answer says, and what is wrong with it: nothing, as a rule."""


@dataclass(frozen=True)
class Outcome:
    """What a case came to.

    Attributes:
        seed: of the case.
        kind: of the case.
        status: of the call or, where that made a job, of the job.
        seconds: that it took.
        wrong: what must not be.
    """

    seed: int
    kind: str
    status: str
    seconds: float
    wrong: str


class Fuzzer:
    """Cases by number, at a server whose workers have the renderer "reading"."""

    def __init__(self, server: Served, folder: Path) -> None:
        self._server = server
        self._material = Material.make(folder)
        self._folder = folder
        self._store = JobStore(server.data / "jobs.sqlite")
        self._spoiling = threading.Lock()
        self._upload(self._material.pixels)
        self._region = server.stub.OpenRegion(mive_pb2.OpenRegionRequest(size=len(self._material.pixels)))
        self._region_id = next(self._region).region.region_id
        rng = random.Random(0)
        for make in (self._raw, self._named, *[self._uploaded] * 20):
            assert self._submit(make(rng)) == ("job done", ""), "what is not spoilt works"
        self._job = server.stub.ListJobs(mive_pb2.ListJobsRequest()).jobs[-1].job_id

    def __call__(self, seed: int) -> Outcome:
        """Try a case."""
        rng = random.Random(seed)
        kinds: dict[str, tuple[int, Callable[[random.Random], Verdict]]] = {
            "bytes": (4, self._bytes),
            "fields": (4, self._fields),
            "clip": (4, self._clip),
            "matte": (3, self._matte),
            "frames": (2, self._frames),
            "runs": (2, self._runs),
            "chunks": (1, self._chunks),
            "row": (1, self._row),
        }
        (kind,) = rng.choices(list(kinds), [weight for weight, _ in kinds.values()])
        started = time.monotonic()
        status, wrong = kinds[kind][1](rng)
        return Outcome(seed, kind, status, time.monotonic() - started, wrong)

    def _bytes(self, rng: random.Random) -> Verdict:
        """A message that is none, or means something else."""
        name = rng.choice(list(_METHODS))
        return self._answer(name, [spoil_bytes(rng, part.SerializeToString()) for part in self._valid(rng, name)])

    def _fields(self, rng: random.Random) -> Verdict:
        name = rng.choice([*_METHODS, "SubmitJob", "SubmitJob", "FetchFrames"])
        parts = self._valid(rng, name)
        spoil_fields(rng, rng.choice(parts))
        return self._answer(name, [part.SerializeToString() for part in parts])

    def _clip(self, rng: random.Random) -> Verdict:
        clip = spoil_file(rng, rng.choice(list(self._material.clips)), self._material.clips)
        submission = self._uploaded(rng)
        submission.request.clip.files.CopyFrom(media_pb2.UploadedFiles(files=[self._file(*clip)]))
        return self._submit(submission)

    def _matte(self, rng: random.Random) -> Verdict:
        matte = self._file(*spoil_file(rng, rng.choice(list(self._material.mattes)), self._material.mattes))
        submission = self._uploaded(rng)
        own = rng.random() < 0.5
        target = submission.request.instances[0].matte if own else submission.request.mattes
        target.CopyFrom(media_pb2.MatteSource(files=media_pb2.UploadedFiles(files=[matte])))
        submission.request.settings.matte_fit = rng.choice((1, 2))
        return self._submit(submission)

    def _frames(self, rng: random.Random) -> Verdict:
        submission = self._raw(rng)
        spoil_fields(rng, submission.request.clip.frames)
        return self._submit(submission)

    def _runs(self, rng: random.Random) -> Verdict:
        submission = self._uploaded(rng)
        runs = media_pb2.MatteRuns.FromString(self._material.runs.SerializeToString())
        if rng.random() < 0.5:
            spoil_fields(rng, runs)
            submission.request.mattes.runs.CopyFrom(runs)
        else:
            data = spoil_bytes(rng, runs.SerializeToString())
            submission.request.mattes.uploaded_runs.upload_ids[:] = [self._upload(data)]
        return self._submit(submission)

    def _chunks(self, rng: random.Random) -> Verdict:
        """A stream whose parts are missing, twice, in disorder, or not what was declared."""
        data = rng.randbytes(rng.choice((1, 1000, 300_000)))
        pieces = [data[at : at + 100_000] for at in range(0, len(data), 100_000)]
        parts = list(split_upload(upload_id_of(data), len(data), pieces))
        for _ in range(rng.choice((1, 2))):
            at = rng.randrange(len(parts)) if parts else 0
            match rng.randrange(5):
                case 0:
                    del parts[at:]
                case 1:
                    rng.shuffle(parts)
                case 2:
                    parts[at:at] = parts[: rng.choice((1, 2))]
                case 3 if parts:
                    spoil_fields(rng, parts[at])
                case 4:
                    parts[at:at] = [mive_pb2.UploadRequest()]
        return self._answer("Upload", [part.SerializeToString() for part in parts])

    def _row(self, rng: random.Random) -> Verdict:
        """A job as another version would have stored it. It ends, and lists show it."""
        column, value = rng.choice(COLUMNS), rng.choice((*NUMBERS[:-6], *REALS[:4], *TEXTS, b"\xff"))
        with self._spoiling, contextlib.suppress(MiveError), self._store.database.transaction() as write:
            # Stored and spoilt at once, so that no worker sees it whole.
            request = "SELECT request FROM jobs WHERE id = ?"
            whole = write.execute(request, (self._job,)).fetchone()[0]
            job = f"{rng.getrandbits(128):032x}"
            write.execute(
                "INSERT INTO jobs (id, owner, request, priority, created, updated) VALUES (?, 'local', ?, 1, 0, 0)",
                (job, whole),
            )
            write.execute(f"UPDATE jobs SET {column} = ? WHERE id = ?", (value, job))
        end = time.monotonic() + PATIENCE
        try:
            while self._server.get(job).state < job_pb2.JOB_STATE_DONE:
                if time.monotonic() > end:
                    return "row", f"it never ends: {column} = {value!a}"
                time.sleep(0.02)
            self._server.stub.ListJobs(mive_pb2.ListJobsRequest(page_size=5), timeout=PATIENCE)
        except grpc.RpcError as error:
            return _refused(error)
        return "row ended", ""

    def _valid(self, rng: random.Random, name: str) -> list[Any]:
        """Messages that the server would take."""
        made: dict[str, Callable[[], Any]] = {
            "ExportFrames": lambda: {"job_id": self._job, "frames": {"first": 0, "last": 1}, "name": "cut.####.png"},
            "DeleteUpload": lambda: {"upload_id": upload_id_of(rng.randbytes(4))},
            "ListUploads": lambda: {"page_size": 2, "page_token": upload_id_of(self._material.pixels)},
            "GetUpload": lambda: {"upload_id": upload_id_of(self._material.pixels)},
            "OpenRegion": lambda: {"size": 4096},
            "CloseRegion": lambda: {"region_id": "0" * 32},
            "WatchJob": lambda: {"job_id": self._job, "after_sequence": rng.choice((0, 1))},
            "ListJobs": lambda: {"states": [3], "page_size": 2, "page_token": self._job, "labels": {"shot": "1"}},
            "FetchFrames": self._fetch,
            "PreviewJob": lambda: {"submit": self._any(rng)},
        }
        request: Any = getattr(mive_pb2, f"{name}Request")
        if name == "Upload":
            data = rng.randbytes(1000)
            return list(split_upload(upload_id_of(data), len(data), [data]))
        if name == "SubmitJob":
            return [self._any(rng)]
        if name in made:
            return [request(**made[name]())]
        return [request(job_id=self._job) if "job_id" in request.DESCRIPTOR.fields_by_name else request()]

    def _fetch(self) -> dict[str, Any]:
        into = media_pb2.RegionSlice(region_id=self._region_id, size=len(self._material.pixels))
        return {"job_id": self._job, "frames": [{"first": 0, "last": 1}, {"first": 2, "last": 2}], "into": into}

    def _any(self, rng: random.Random) -> mive_pb2.SubmitJobRequest:
        """A job of whole files, frames or paths, with something in every field."""
        submission = rng.choice((self._raw, self._named, self._uploaded))(rng)
        submission.priority, submission.preview_every = rng.choice((0, 1, 2)), rng.choice((0, 1))
        submission.handles.before = submission.handles.after = 1
        submission.deadline.seconds = 3600
        submission.labels["shot"] = rng.choice(("1", "ü" * 200))
        submission.request.frames.last = 1
        submission.request.settings.steps = submission.request.settings.inversion_steps = 4
        return submission

    def _raw(self, rng: random.Random) -> mive_pb2.SubmitJobRequest:
        submission = a_submission()
        source = submission.request.clip.frames
        source.rate.numerator, source.rate.denominator, source.timecode = 24000, 1001, "01:00:00;02"
        layout = media_pb2.FrameFormat(width=WIDTH, height=HEIGHT, channels=3, pixel_format=1, row_order=1)
        layout.colour.SetInParent()
        frames = media_pb2.RawFrames(format=layout, count=COUNT)
        if rng.random() < 0.5:
            frames.uploads.upload_ids[:] = [upload_id_of(self._material.pixels)]
        else:
            frames.region.region_id, frames.region.size = self._region_id, len(self._material.pixels)
        source.frames.CopyFrom(frames)
        submission.request.mattes.runs.CopyFrom(self._material.runs)
        return submission

    def _named(self, rng: random.Random) -> mive_pb2.SubmitJobRequest:
        submission = a_submission(clip=str(self._folder / "clip.mkv"))
        submission.request.mattes.path = str(self._folder / "matte.mkv")
        return submission

    def _uploaded(self, rng: random.Random) -> mive_pb2.SubmitJobRequest:
        submission = a_submission()
        submission.request.clip.files.files.append(self._file("clip.mkv", self._material.clips["clip.mkv"]))
        name = rng.choice(list(self._material.mattes))
        submission.request.mattes.files.files.append(self._file(name, self._material.mattes[name]))
        submission.request.settings.matte_fit = edit_pb2.MATTE_FIT_FIT
        return submission

    def _file(self, name: str, data: bytes) -> media_pb2.UploadedFile:
        return media_pb2.UploadedFile(upload_id=self._upload(data), name=name)

    def _upload(self, data: bytes) -> str:
        """Sends what is not there yet. Nothing at all cannot be sent, and is left out."""
        name = upload_id_of(data)
        if not data:
            return name
        try:
            there = self._server.stub.GetUpload(mive_pb2.GetUploadRequest(upload_id=name), timeout=PATIENCE).status
        except grpc.RpcError:
            there = mive_pb2.UploadStatus()
        if not there.complete:
            # Another case may have sent a part of the same bytes, as small as they are.
            offset = there.received if there.size == len(data) else 0
            rest = split_upload(name, len(data), [data[offset:]], offset=offset)
            self._server.stub.Upload(rest, timeout=PATIENCE)
        return name

    def _submit(self, submission: mive_pb2.SubmitJobRequest) -> Verdict:
        return self._answer("SubmitJob", [submission.SerializeToString()])

    def _answer(self, name: str, parts: list[bytes]) -> Verdict:
        """What a call says; where it makes a job, what becomes of that."""
        method = _METHODS[name]
        kind = [("stream" if each else "unary") for each in (method.client_streaming, method.server_streaming)]
        call: Any = getattr(self._server.channel, "_".join(kind))(f"/mive.v1.Mive/{name}")
        try:
            answer = call(iter(parts) if method.client_streaming else parts[0], timeout=PATIENCE)
            if name == "OpenRegion":
                next(answer)
                answer.cancel()
            elif method.server_streaming:
                answers = list(islice(answer, _MOST_MESSAGES))
                if name == "PreviewJob":
                    return self._end_of(mive_pb2.PreviewJobResponse.FromString(answers[0]).event.job_id)
            elif name == "SubmitJob":
                return self._end_of(mive_pb2.SubmitJobResponse.FromString(answer).job.job_id)
        except grpc.RpcError as error:
            return _refused(error)
        return "OK", ""

    def _end_of(self, job: str) -> Verdict:
        end = self._server.finish(job)
        match end.WhichOneof("event"):
            case "failed":
                code = _CODES[end.failed.code].name
                attempts = self._server.get(job).attempts
                return f"job failed: {code}", _useless(end.failed.error) or (
                    "" if attempts < 2 else "it took a worker down"
                )
            case kind:
                return f"job {kind}", ""


def _refused(error: Any) -> Verdict:
    code: grpc.StatusCode = error.code()
    if code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN):
        return code.name, f"no answer: {error.details()}"
    trailing = dict(error.trailing_metadata() or ())
    status = read_status(trailing.get(STATUS_DETAILS), code=code.value[0], message=error.details())
    detail = error_pb2.ErrorDetail()
    if not any(each.Unpack(detail) for each in status.details if each.Is(detail.DESCRIPTOR)):
        return code.name, f"no details: {error.details()}"
    return code.name, _useless(detail)


def _useless(detail: error_pb2.ErrorDetail) -> str:
    """What is wrong with an error, if its user can do nothing about it."""
    if not (detail.what and detail.fix):
        return f"no fix: {detail.what}"
    if any(word in detail.what for word in ("unexpected", "an error of its own")):
        return f"not foreseen: {detail.what}"
    return ""
