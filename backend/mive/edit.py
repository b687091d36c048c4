"""One edit from request to files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mive.base.progress import Clock, Progress, Report
from mive.editing.editor import Editor
from mive.editing.inversions import InversionCache
from mive.errors import MediaError, OutputError
from mive.manifest import manifest_path, write_manifest
from mive.media import Clip, ClipInfo, Mattes, open_clip, open_mattes, open_writer
from mive.media.asked import Reading
from mive.media.hashing import content_digest, hashed, matte_hashes
from mive.media.origin import Origin, inputs_of, require_apart
from mive.media.told import Warnings
from mive.networks.bundle_files import find_bundle
from mive.networks.bundle_layout import bundle_defaults
from mive.request import EditRequest, FrameRange, ResolvedSettings
from mive.settings import USUAL_ENGINE, Codec, EngineName


@dataclass(frozen=True)
class EditResult:
    """What an edit made.

    Attributes:
        out: the file or folder.
        manifest: path of the manifest.
        frames: how many frames were written.
        seconds: wall time by stage, and "total".
        warnings: what the user should know.
    """

    out: Path
    manifest: Path
    frames: int
    seconds: dict[str, float]
    warnings: tuple[str, ...]


def run_edit(
    request: EditRequest,
    out: Path,
    *,
    report: Report = lambda progress: None,
    cache: InversionCache | None = None,
    codec: Codec | None = None,
    engine: EngineName = USUAL_ENGINE,
    warn: Callable[[Sequence[str]], None] = lambda warnings: None,
    inputs: Sequence[Path] = (),
) -> EditResult:
    """Edit a clip as a request says and write the frames and their manifest.

    Everything that can be wrong with request, media, output and bundle is found before the first denoising step. On
    any error or interrupt until then nothing of the output is left behind. The manifest comes last: if it cannot be
    written, the finished output stays and the error says so.

    Args:
        request: the whole edit.
        out: a video file, or a folder or pattern for images.
        report: told about progress, often; it may raise to stop the edit.
        cache: where inversions are kept; None keeps none.
        codec: overrides what the suffix of ``out`` says.
        engine: what runs the networks.
        warn: told what the user should know, before the first step; the result has that, and what came up later.
        inputs: files that were read to make the request, which the output must not touch either.

    Raises:
        MiveError: see `mive.errors`.
    """
    clock = Clock()
    report(Progress("load", 0, 1))
    shot = open_shot(request)
    clip, mattes, frames = shot.clip, shot.mattes, shot.frames
    origin = Origin(clip, (*inputs, *inputs_of(request), *mattes.files, shot.folder), shot.warnings)
    require_apart([manifest_path(out)], (*clip.info.files, *origin.inputs))
    with open_writer(out, clip.info, frames, codec, origin) as writer:
        editor = Editor.load(request, shot.settings, shot.folder, cache or InversionCache(None), clock, engine)
        report(Progress("load", 1, 1))
        framing = editor.frame(mattes, lambda done, total: report(Progress("mattes", done, total)))
        warn((*shot.warnings, *editor.warnings))
        clock.lap("load")
        # Hashed where it is pasted over, for every decoding of a long clip counts.
        read, made = content_digest(clip.info), hashlib.sha256()
        source = hashed(clip.read(frames), read)
        for frame in hashed(editor.run(clip, mattes, framing, report, source=source), made):
            writer.write(frame)
            clock.lap("write")
        hashes = matte_hashes(mattes)
        warnings = (*shot.warnings, *editor.warnings)
        made_of = (read.hexdigest(), hashes, framing, (str(out),), made.hexdigest())
        manifest = editor.manifest(*made_of, clock.rounded(), warnings)
    path = manifest_path(out)
    try:
        write_manifest(manifest, path)
    except OutputError as error:
        raise OutputError(
            f"{out} is complete, but its manifest is not: {error.what}",
            expected=error.expected,
            fix=error.fix or "Make room or give permission, and render again if you need the manifest",
        ) from error
    return EditResult(out, path, len(frames), clock.rounded(), warnings)


@dataclass(frozen=True)
class Shot:
    """All that a request names, found and opened.

    Attributes:
        frames: what is edited, handles included.
        folder: of the bundle.
        settings: with nothing left open.
        warnings: what clip and mattes leave in doubt; reading them may add to it.
    """

    clip: Clip
    frames: FrameRange
    mattes: Mattes
    folder: Path
    settings: ResolvedSettings
    warnings: Warnings


def open_shot(
    request: EditRequest,
    before: int = 0,
    after: int = 0,
    opened: Callable[[FrameRange, ClipInfo], None] = lambda frames, info: None,
    most_bytes: int = 0,
) -> Shot:
    """Open a request's clip and mattes and find its bundle.

    Args:
        before, after: handles: frames besides the request's range, as far as the clip has them.
        opened: told what is edited of which clip, before the mattes are opened; it raises where that is too much.
        most_bytes: as for `open_mattes`.

    Raises:
        MiveError: something is missing or does not fit.
    """
    warnings = Warnings(strict=request.strict)
    clip = open_clip(request.clip, Reading.of(request, warnings))
    asked = asked_frames(clip, request)
    frames = FrameRange(max(asked.first - before, 0), min(asked.last + after, clip.info.frames - 1))
    opened(frames, clip.info)
    folder = find_bundle(request.bundle)
    settings = request.settings.resolved(bundle_defaults(folder))
    most = (settings.matte_fit, most_bytes, warnings)
    mattes = open_mattes(request.mattes, request.instances, clip.info, frames, *most)
    return Shot(clip, frames, mattes, folder, settings, warnings)


def asked_frames(clip: Clip, request: EditRequest) -> FrameRange:
    """The frames of its clip that a request is about.

    Raises:
        MediaError: the clip does not have them all.
    """
    wanted, last = request.frames, clip.info.frames - 1
    if wanted is None:
        return FrameRange(0, last)
    if wanted.last > last:
        raise MediaError(
            f"the clip ends with frame {last}, and frames {wanted} were asked for",
            expected=f"frames within 0-{last}",
            fix="Choose another frame range",
            field="frames",
        )
    return wanted
