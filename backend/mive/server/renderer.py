"""The renderer of real edits: loads a bundle once and edits with checkpoints."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from mive import __version__
from mive.cache import InversionCache
from mive.edit import asked_frames
from mive.editor import Checkpoint, Editor
from mive.engines.denoiser import Call, Conditions
from mive.engines.torch_engine import TorchEngine, choose_device, choose_dtype, memory_of
from mive.errors import EngineError
from mive.media import Clip, Mattes, open_clip, open_mattes
from mive.networks.bundle import Bundle, load_bundle
from mive.networks.bundle_files import PARTS, find_bundle, find_part, hash_bundle
from mive.networks.bundle_layout import bundle_defaults
from mive.progress import Clock, Progress
from mive.request import EditRequest, FrameRange, ResolvedSettings, Settings
from mive.server.checkpoints import Checkpoints
from mive.server.task import Rendered, Task
from mive.windows import Window, make_windows


class EditRenderer:
    """Edits on one device; the networks stay loaded while jobs want the same ones.

    Args:
        device: as torch names it, or "auto".
        cache: where inversions are kept.

    Raises:
        EngineError: the device is not there.
    """

    def __init__(self, device: str, cache: InversionCache) -> None:
        self.device = choose_device(device)
        self.cache = cache
        self._key: object = None
        self._bundle: tuple[Bundle, Mapping[str, str]] | None = None

    def load(self, bundle: str) -> None:
        """See `Renderer.load`."""
        folder = find_bundle(bundle)
        with memory_of(self.device):
            loaded, _ = self._loaded(folder, Settings().resolved(bundle_defaults(folder)))
            _warm_up(TorchEngine(loaded))

    def half_window(self, request: EditRequest) -> int | None:
        """See `Renderer.half_window`."""
        settings = self._settings(request, find_bundle(request.bundle), None)
        half = min(settings.window, len(asked_frames(open_clip(request.clip), request))) // 2
        return half or None

    def render(self, task: Task) -> Rendered:
        """See `Renderer.render`."""
        with memory_of(self.device):
            return self._render(task)

    def free(self) -> None:
        """See `Renderer.free`."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()
        # glibc keeps freed heap pages; other systems have no such call.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)

    def _render(self, task: Task) -> Rendered:
        clock = Clock()
        task.report(Progress("load", 0, 1))
        request = task.request
        clip = open_clip(request.clip)
        frames = asked_frames(clip, request)
        mattes = open_mattes(
            request.mattes, request.instances, clip.info, frames, request.settings.matte_fit or "exact"
        )
        task.opened(frames)
        folder = find_bundle(request.bundle)
        settings = self._settings(request, folder, task.window)
        editor = self._editor(request, settings, folder, clock)
        task.report(Progress("load", 1, 1))
        clock.lap("load")
        self._run(task, editor, clip, mattes, frames)
        frames_hash = task.results.hash(frames)
        manifest = editor.manifest(clip, mattes, frames, Path(), frames_hash, clock.rounded())
        return Rendered(manifest.model_copy(update={"outputs": ()}), tuple(editor.warnings))

    def _run(self, task: Task, editor: Editor, clip: Clip, mattes: Mattes, frames: FrameRange) -> None:
        windows = make_windows(len(frames), editor.settings.window, editor.settings.overlap)
        checkpoints = Checkpoints(task.checkpoints, self._identity(editor))
        start, done = None, 0
        stored = checkpoints.load()
        if stored is not None and set(task.results.indices()) >= set(frames.indices()[: stored.frames]):
            start, done = stored.checkpoint, stored.frames
        else:
            task.results.clear()
        ahead = False

        def keep(checkpoint: Checkpoint) -> None:
            nonlocal ahead
            checkpoints.save(checkpoint, windows[checkpoint.window].first)
            if not ahead:
                task.checkpointed()
            ahead = True

        ends = {window.first + window.final: number for number, window in enumerate(windows)}
        for frame in editor.run(clip, mattes, frames, task.report, start, keep):
            task.results.write(frames.first + done, frame)
            editor.clock.lap("write")
            done += 1
            if done in ends:
                task.finished(_part(frames, windows[ends[done]]), ends[done] + 1, len(windows))

    def _settings(self, request: EditRequest, folder: Path, window: int | None) -> ResolvedSettings:
        """The request's settings on this worker's device, which is the server's choice and not the client's."""
        settings = request.settings.resolved(bundle_defaults(folder))
        if torch.device(settings.device if settings.device != "auto" else self.device).type != self.device.type:
            raise EngineError(
                f'the request asks for the device "{settings.device}", and this server edits on "{self.device}"',
                expected='"auto", or the kind of device that the server has',
                fix='Set settings.device to "auto"',
                field="settings.device",
            )
        changes: dict[str, object] = {"device": str(self.device)}
        if window is not None:
            changes |= {"window": window, "overlap": min(settings.overlap, window // 2)}
        return settings.model_copy(update=changes)

    def _editor(self, request: EditRequest, settings: ResolvedSettings, folder: Path, clock: Clock) -> Editor:
        """As `Editor.load`, with networks that may be loaded already."""
        bundle, hashes = self._loaded(folder, settings)
        return Editor.with_bundle(request, settings, bundle, hashes, self.cache, clock)

    def _loaded(self, folder: Path, settings: ResolvedSettings) -> tuple[Bundle, Mapping[str, str]]:
        """The bundle and its files' hashes."""
        dtype = choose_dtype(settings.precision, self.device)
        key = (_fingerprint(folder), dtype, settings.control_attention)
        if self._bundle is None or key != self._key:
            # Two bundles at once may not fit.
            self._bundle = None
            self.free()
            bundle = load_bundle(folder, device=self.device, dtype=dtype, control_attention=settings.control_attention)
            self._bundle, self._key = (bundle, hash_bundle(folder)), key
        return self._bundle

    def _identity(self, editor: Editor) -> str:
        """Hash of all that shapes the latents, so that a checkpoint never goes on in another edit."""
        versions = (__version__, torch.__version__, str(self.device.type), str(editor.engine.dtype))
        parts = (editor.request.to_json(), editor.settings.to_json(), *versions, repr(sorted(editor.hashes.items())))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _warm_up(engine: TorchEngine) -> None:
    """One small pass through each large network, in which a GPU chooses its kernels."""
    side = engine.bundle.latent_multiple
    z = engine.encode(np.zeros((1, side, side, 3), np.float32))
    engine.output(Call(z[None], 1, ("",), (None,), inflated=False, control=False), Conditions())
    engine.decode(z)


def _part(frames: FrameRange, window: Window) -> FrameRange:
    """The frames of the clip that a window finishes."""
    first = frames.first + window.first
    return FrameRange(first, first + window.final - 1)


def _fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of a bundle's files: changes when somebody puts other weights there."""
    files = [path for part in PARTS if part != "clip" for path in sorted(find_part(folder, part).rglob("*"))]
    stats = [(str(path), path.stat()) for path in files if path.is_file()]
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
