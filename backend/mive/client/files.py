"""From a request to files through a server: what ``mive edit`` does, with the frames made elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from mive.base.progress import Clock, Progress, Report
from mive.client.aio import SubmitOptions
from mive.client.errors import broken_contract
from mive.client.events import Cancelled, Done, Event, Failed
from mive.client.jobs import Job
from mive.client.sending import files_of, matte_paths
from mive.client.sync import Client
from mive.errors import Cancelled as Stopped
from mive.errors import MediaError, MiveError, RequestError
from mive.manifest import Manifest, manifest_path, write_manifest
from mive.media import Clip, ClipInfo, FrameWriter, open_clip, open_writer
from mive.media.asked import Reading
from mive.media.hashing import hashed
from mive.media.origin import Origin, inputs_of, require_apart
from mive.media.told import Warnings
from mive.request import EditRequest, FrameRange
from mive.settings import Codec
from mive.v1 import mive_pb2
from mive.wire.request import with_handles

Tell = Callable[[Event], None]


def _silent(told: object) -> None:
    pass


@dataclass(frozen=True)
class RenderResult:
    """What a job left on this machine; as :class:`mive.edit.EditResult`.

    Attributes:
        out: the file or folder.
        manifest: path of the manifest.
        frames: how many frames were written.
        seconds: wall time by stage, and "total".
        warnings: what the user should know.
        job_id: the job they come from.
    """

    out: Path
    manifest: Path
    frames: int
    seconds: dict[str, float]
    warnings: tuple[str, ...]
    job_id: str


def render(
    client: Client,
    request: EditRequest,
    out: Path,
    *,
    codec: Codec | None = None,
    tell: Tell = _silent,
    **options: Unpack[SubmitOptions],
) -> RenderResult:
    """Renders an edit at a server and writes what ``mive edit`` would have written, bit for bit.

    The source is opened here too: its sound, times and tags go into the output. An interrupt cancels the job. On any
    error nothing of the output is left behind.

    Args:
        request: with this machine's paths.
        out: a video file, or a folder or pattern for images.
        codec: overrides what the suffix of ``out`` says.
        tell: told of the job's events.
        options: of :meth:`mive.client.AsyncClient.submit`; ``report`` is told of the stage "fetch" too.

    Raises:
        MiveError: see :mod:`mive.errors` and :mod:`mive.client.errors`.
    """
    clock = Clock()
    here = Warnings()
    clip = open_clip(request.clip, Reading.of(request, here))
    asked = request.frames or FrameRange(0, clip.info.frames - 1)
    clip.read(asked)  # Refuses frames that the clip does not have.
    before, after = options.get("handles", (0, 0))
    frames = with_handles(asked, mive_pb2.Handles(before=before, after=after), clip.info.frames)
    with open_writer(out, clip.info, frames, codec, _origin(clip, request, out)) as writer:
        if options.get("send") == "memory":
            # The server sees frames and no files, so that only this side knows what is wrong with these.
            for text in here:
                writer.warnings.tell(text)
        job = client.submit(request, **options)
        clock.lap("send")
        with _cancelled_on_interrupt(client, job.job_id):
            done = follow(client, job.job_id, tell)
        clock.lap("render")
        if done.frames != frames:
            raise broken_contract(f"frames {done.frames} where {frames} were asked for")
        manifest = _fetch(client, done, writer, options.get("report", _silent))
        clock.lap("fetch")
    return _finish(own_manifest(manifest, request, frames, out), writer, done, clock)


def collect(
    client: Client,
    job: Job,
    request: EditRequest,
    out: Path,
    *,
    codec: Codec | None = None,
    tell: Tell = _silent,
    report: Report = _silent,
) -> RenderResult:
    """Writes the frames of a job that was submitted earlier, once it is done.

    Args:
        job: from ``client.get``.
        request: the job's, with this machine's paths; its clip gives sound, times and tags. Mattes that are not here
            stay in the manifest as the server knows them.
        out, codec, tell: as in :func:`render`.
        report: told of the stage "fetch".

    Raises:
        MiveError: also where the clip is not the one that was edited.
    """
    clock = Clock()
    clip = _open_here(request)
    done = follow(client, job.job_id, tell)
    clock.lap("render")
    _check_same(clip.info, client.get(job.job_id).clip)
    with open_writer(out, clip.info, done.frames, codec, _origin(clip, request, out)) as writer:
        manifest = _fetch(client, done, writer, report)
        clock.lap("fetch")
    for path in matte_paths(request).values():
        if not _is_here(path):
            writer.warnings.tell(
                f'{path} is not here; name it with --mattes or --matte if "mive render-again" is to find it'
            )
    return _finish(own_manifest(manifest, request, done.frames, out), writer, done, clock)


def follow(client: Client, job_id: str, tell: Tell = _silent) -> Done:
    """Waits until a job is done.

    Raises:
        MiveError: the job's own error where it failed; :class:`mive.errors.Cancelled` where it was cancelled.
    """
    for event in client.watch(job_id):
        tell(event)
        match event:
            case Done():
                return event
            case Failed(error=error):
                raise error
            case Cancelled(reason=reason):
                raise Stopped(f"the job was cancelled: {reason}" if reason else "the job was cancelled")
    raise broken_contract("a job that ends without an event")


def own_manifest(manifest: Manifest, request: EditRequest, frames: FrameRange, out: Path) -> Manifest:
    """A server's manifest with this machine's paths, as ``mive edit`` would have written it here.

    Args:
        request: with this machine's paths; a bundle that it leaves open is the server's.
        frames: by index in this machine's clip.
    """
    bundle = request.bundle if "bundle" in request.model_fields_set else manifest.request.bundle
    hashes = manifest.matte_hashes
    paths = matte_paths(request).values()
    if all(map(_is_here, paths)):
        hashes = {str(file): _hash(file) for path in paths for file in files_of(path)}
    return manifest.model_copy(
        update={
            "request": request.model_copy(update={"bundle": bundle}),
            "frames": frames,
            "matte_hashes": hashes,
            "outputs": (str(out),),
        }
    )


def _fetch(client: Client, done: Done, writer: FrameWriter, report: Report) -> Manifest:
    """Writes all frames of a job, checked against its manifest."""
    manifest = client.manifest(done.job_id)
    digest, count = hashlib.sha256(), len(done.frames)
    report(Progress("fetch", 0, count))
    fetched = (frame for _, frame in client.fetch(done.job_id, done.frames))
    for number, frame in enumerate(hashed(fetched, digest), 1):
        writer.write(frame)
        report(Progress("fetch", number, count))
    if manifest.frames_hash is not None and manifest.frames_hash != digest.hexdigest():
        raise broken_contract("frames other than those that the job's manifest tells of")
    return manifest


def _finish(manifest: Manifest, writer: FrameWriter, done: Done, clock: Clock) -> RenderResult:
    path = manifest_path(writer.out)
    warnings = (*done.warnings, *writer.warnings)
    write_manifest(manifest.model_copy(update={"warnings": warnings}), path)
    return RenderResult(writer.out, path, len(done.frames), clock.rounded(), warnings, done.job_id)


@contextmanager
def _cancelled_on_interrupt(client: Client, job_id: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        with suppress(MiveError):
            client.cancel(job_id)
        raise


def _origin(clip: Clip, request: EditRequest, out: Path) -> Origin:
    """What the output here is made from; what the server has told of the clip is not told twice."""
    files = [file for path in matte_paths(request).values() if _is_here(path) for file in files_of(path)]
    origin = Origin(clip, (*inputs_of(request), *files), Warnings(strict=request.strict))
    require_apart([manifest_path(out)], (*clip.info.files, *origin.inputs))
    return origin


def _open_here(request: EditRequest) -> Clip:
    try:
        return open_clip(request.clip, Reading.of(request))
    except MediaError as error:
        raise MediaError(
            error.what,
            expected="the source that was edited, for the sound, times and tags of the output",
            fix="Name it with --clip CLIP",
            field="clip",
        ) from error


def _is_here(path: str) -> bool:
    try:
        return all(file.is_file() for file in files_of(path))
    except MediaError:
        return False


def _check_same(here: ClipInfo, there: ClipInfo | None) -> None:
    """Refuses a clip that is not of the size that was edited."""
    if there is None:
        raise broken_contract("a job that is done without having opened its clip")
    facts = [(info.width, info.height, info.frames, info.depth) for info in (here, there)]
    if facts[0] != facts[1]:
        shown = [f"{width}x{height}, {frames} frames of {depth}" for width, height, frames, depth in facts]
        raise RequestError(
            f"{here.path} is not the clip that was edited: it is {shown[0]}",
            expected=shown[1],
            fix="Name the right one with --clip",
            field="clip",
        )


def _hash(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{file} cannot be read: {error.strerror}") from error
