"""The renderer of real edits: loads a bundle once and edits with checkpoints."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import hashlib
import logging
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from mive import __version__
from mive.base.progress import Clock, Progress
from mive.edit import Shot, open_shot
from mive.editing.checkpoint import Checkpoint, Trailing
from mive.editing.editor import Editor
from mive.editing.framing import Framing
from mive.editing.inversions import InversionCache
from mive.editing.previews import Preview, Previews
from mive.editing.workload import work_of
from mive.engines.choice import Choice, choose_engine, engine_dtype
from mive.engines.devices import choose_device, memory_of
from mive.engines.torch_engine import TorchEngine
from mive.errors import EngineError
from mive.media import content_hash
from mive.media.hashing import matte_hashes
from mive.method.denoiser import Call, Conditions
from mive.networks.bundle import Bundle, load_bundle
from mive.networks.bundle_files import PARTS, find_bundle, find_part, hash_bundle
from mive.networks.bundle_layout import bundle_defaults
from mive.request import EditRequest, FrameRange, ResolvedSettings, Settings
from mive.server.checkpoints import Checkpoints
from mive.server.damage import damage_told
from mive.server.leases import DeviceFacts
from mive.server.task import Rendered, Task
from mive.settings import USUAL_ENGINE, EngineName

log = logging.getLogger(__name__)


class EditRenderer:
    """Edits on one device; the networks stay loaded while jobs want the same ones.

    Args:
        device: as torch names it, or "auto".
        cache: where inversions are kept.
        engine: what runs the networks.

    Raises:
        EngineError: the device is not there.
    """

    def __init__(self, device: str, cache: InversionCache, engine: EngineName = USUAL_ENGINE) -> None:
        self.device = choose_device(device)
        self.cache = cache
        self.engine: EngineName = engine
        self._key: object = None
        self._bundle: tuple[Bundle, Mapping[str, str]] | None = None

    def load(self, bundle: str) -> None:
        """See `Renderer.load`."""
        folder = find_bundle(bundle)
        settings = Settings().resolved(bundle_defaults(folder))
        choice = choose_engine(self.engine, settings, self.device)
        if choice.why:
            log.info("%s", choice.why)
        with memory_of(self.device):
            loaded, _ = self._loaded(folder, settings, choice)
            # Programs are for the sizes of an edit, which are not known yet.
            if choice.name == "torch":
                _warm_up(TorchEngine(loaded))

    def about(self) -> DeviceFacts:
        """See `Renderer.about`."""
        if self.device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self.device)
            return DeviceFacts(torch.cuda.get_device_name(self.device), total, free)
        return DeviceFacts(f"{platform.machine()} CPU, {os.cpu_count()} cores", *_main_memory())

    def half_window(self, request: EditRequest) -> int | None:
        """See `Renderer.half_window`."""
        shot = open_shot(request)
        return min(shot.settings.window, len(shot.frames)) // 2 or None

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
        with damage_told():
            shot = open_shot(
                task.request, task.handles.before, task.handles.after, task.opened, most_bytes=task.matte_bytes
            )
        settings = self._on_this_device(shot.settings, task.window)
        choice = choose_engine(self.engine, settings, self.device)
        bundle, hashes = self._loaded(shot.folder, settings, choice)
        editor = Editor.with_bundle(task.request, settings, bundle, hashes, self.cache, clock, choice)
        with damage_told():
            framing = editor.frame(shot.mattes)
        task.report(Progress("load", 1, 1))
        # Reads every frame, so that damage shows before the first step.
        with damage_told():
            source_hash, mattes = content_hash(shot.clip, shot.frames), matte_hashes(shot.mattes)
        warnings = (*shot.warnings, *editor.warnings)
        task.warned(warnings)
        clock.lap("load")
        key = self._key_of(editor, (task.owner, source_hash, sorted(mattes.values()), str(shot.frames)))
        known = task.adopt(key)
        if known is not None:
            used = {"request": task.request, "matte_hashes": mattes, "warnings": warnings}
            return Rendered(known.model_copy(update=used), warnings, key, cached=True)
        self._run(task, editor, shot, framing)
        frames_hash = task.results.hash(shot.frames)
        manifest = editor.manifest(source_hash, mattes, framing, (), frames_hash, clock.rounded(), warnings)
        return Rendered(manifest, warnings, key)

    def _run(self, task: Task, editor: Editor, shot: Shot, framing: Framing) -> None:
        frames, windows = shot.frames, framing.windows()
        together = editor.settings.caption_mode == "global"
        task.planned(work_of(framing, editor.plan, editor.grids, together=together))
        checkpoints = Checkpoints(task.checkpoints, self._identity(editor))
        start, done = None, 0
        stored = checkpoints.load()
        if stored is not None and set(task.results.indices()) >= set(frames.indices()[: stored.frames]):
            start, done = stored.checkpoint, stored.frames
        else:
            task.results.clear()
        ahead = False

        @Trailing
        def keep(checkpoint: Checkpoint) -> None:
            nonlocal ahead
            checkpoints.save(checkpoint, windows[checkpoint.window].window.first)
            if not ahead:
                task.checkpointed()
            ahead = True

        ends = {framed.final.last: number for number, framed in enumerate(windows, 1)}
        for frame in editor.run(shot.clip, shot.mattes, framing, task.report, start, keep, _previews(task, frames)):
            task.results.write(frames.first + done, frame)
            editor.clock.lap("write")
            done += 1
            number = ends.get(frames.first + done - 1)
            if number is not None:
                task.finished(windows[number - 1].final, number, len(windows))

    def _on_this_device(self, settings: ResolvedSettings, window: int | None) -> ResolvedSettings:
        """The settings on this worker's device, which is the server's choice and not the client's."""
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

    def _loaded(self, folder: Path, settings: ResolvedSettings, choice: Choice) -> tuple[Bundle, Mapping[str, str]]:
        """The bundle, as the chosen engine needs it, and its files' hashes."""
        dtype = engine_dtype(choice, settings, self.device)
        key = (_fingerprint(folder), dtype, settings.control_attention, choice.name)
        if self._bundle is None or key != self._key:
            # Two bundles at once may not fit.
            self._bundle = None
            self.free()
            bundle = load_bundle(folder, device=self.device, dtype=dtype, control_attention=settings.control_attention)
            self._bundle, self._key = (bundle, hash_bundle(folder)), key
        return self._bundle

    def _identity(self, editor: Editor) -> str:
        """Hash of all that shapes the latents, so that a checkpoint never goes on in another edit."""
        return self._hash(editor.request, editor)

    def _key_of(self, editor: Editor, content: tuple[object, ...]) -> str:
        """Hash of all that shapes the frames, wherever clip and mattes lie."""
        return self._hash(editor.request.with_sources(lambda _: "-"), editor, repr(content))

    def _hash(self, request: EditRequest, editor: Editor, *more: str) -> str:
        engine = editor.engine
        versions = (
            __version__,
            torch.__version__,
            str(self.device.type),
            engine.name,
            engine.scales,
            str(engine.dtype),
        )
        hashes = repr(sorted(editor.hashes.items()))
        parts = (request.to_json(), editor.settings.to_json(), *versions, hashes, *more)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _warm_up(engine: TorchEngine) -> None:
    """One small pass through each large network, in which a GPU chooses its kernels."""
    side = engine.bundle.latent_multiple
    z = engine.encode(np.zeros((1, side, side, 3), np.float32))
    engine.output(Call(z[None], 1, ("",), (None,), inflated=False, control=False), Conditions())
    engine.decode(z)


def _previews(task: Task, frames: FrameRange) -> Previews | None:
    if task.preview_every == 0:
        return None
    instances = task.request.instances

    def tell(preview: Preview, done: int, total: int) -> None:
        instance = instances[min(preview.instance, len(instances) - 1)].id
        task.preview(instance, frames.first + preview.frame, preview.image, done, total)

    return Previews(task.preview_every, tell)


def _main_memory() -> tuple[int, int]:
    """Bytes of main memory in all and free; 0 where the system does not say."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return 0, 0


def _fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of a bundle's files: changes when somebody puts other weights there."""
    files = [path for part in PARTS if part != "clip" for path in sorted(find_part(folder, part).rglob("*"))]
    stats = [(str(path), path.stat()) for path in files if path.is_file()]
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
