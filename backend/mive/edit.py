"""One edit from request to files: media → conditions → inversion → plan → paste → output and manifest."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mive.cache import InversionCache, inversion_key
from mive.engines.denoiser import Conditions
from mive.engines.torch_engine import (
    TorchEngine,
    choose_device,
    choose_dtype,
    model_frame,
    model_size,
)
from mive.errors import MediaError
from mive.manifest import BundleRecord, Manifest, bundle_hashes, manifest_path, write_manifest
from mive.media import (
    Clip,
    Codec,
    Mattes,
    content_hash,
    inward_feather,
    open_clip,
    open_mattes,
    open_writer,
    paste,
    to_float,
)
from mive.networks.bundle import load_bundle
from mive.networks.bundle_files import find_bundle, find_part, hash_bundle
from mive.networks.bundle_layout import bundle_defaults
from mive.request import EditRequest, FrameRange, Instance, ResolvedSettings
from mive.sampling import Edits, Inverted, Sampler, invert
from mive.schedule import Grids, Plan, make_grids, make_plan
from mive.windows import make_windows

Pixels = NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far an edit is.

    Attributes:
        stage: "load", "conditions", "inversion", "sampling" or "write".
        done, total: steps of this stage, over all windows.
        window, windows: the window that is running (from 1), and how many there are.
    """

    stage: str
    done: int
    total: int
    window: int = 1
    windows: int = 1


Report = Callable[[Progress], None]


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


@dataclass
class _Clock:
    """Wall time by stage."""

    seconds: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)
    _since: float = field(default_factory=time.monotonic)

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self.seconds[stage] += now - self._since  # type: ignore[assignment]
        self._since = now

    def rounded(self) -> dict[str, float]:
        laps = {stage: round(float(value), 2) for stage, value in self.seconds.items()}
        return {**laps, "total": round(time.monotonic() - self.started, 2)}


def run_edit(
    request: EditRequest,
    out: Path,
    *,
    report: Report = lambda progress: None,
    cache: InversionCache | None = None,
    codec: Codec | None = None,
) -> EditResult:
    """Edit a clip as a request says and write the frames and their manifest.

    Everything that can be wrong with request, media, output and bundle is found before the first denoising step. On
    any error or interrupt nothing of the output is left behind.

    Args:
        request: the whole edit.
        out: a video file, or a folder or pattern for images.
        report: told about progress, often; it may raise to stop the edit.
        cache: where inversions are kept; None keeps none.
        codec: overrides what the suffix of ``out`` says.

    Raises:
        MiveError: see `mive.errors`.
    """
    clock = _Clock()
    report(Progress("load", 0, 1))
    clip = open_clip(request.clip)
    frames = _frames(clip, request.frames)
    fit = request.settings.matte_fit or "exact"
    mattes = open_mattes(request.mattes, request.instances, clip.info, frames, fit)
    folder = find_bundle(request.bundle)
    settings = request.settings.resolved(bundle_defaults(folder))
    with open_writer(out, clip.info, frames, codec) as writer:
        editor = Editor.load(request, settings, folder, cache or InversionCache(None), clock)
        report(Progress("load", 1, 1))
        clock.lap("load")
        digest = hashlib.sha256()
        for frame in editor.run(clip, mattes, frames, report):
            writer.write(frame)
            digest.update(np.ascontiguousarray(frame).data)
            clock.lap("write")
        manifest = editor.manifest(clip, mattes, frames, out, digest.hexdigest(), clock.rounded())
    path = manifest_path(out)
    write_manifest(manifest, path)
    return EditResult(out, path, len(frames), clock.rounded(), (*editor.warnings, *writer.warnings))


def _frames(clip: Clip, wanted: FrameRange | None) -> FrameRange:
    last = clip.info.frames - 1
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


@dataclass
class Editor:
    """A loaded bundle ready to edit windows of one request.

    Attributes:
        request, settings: what to do.
        engine: the networks.
        grids, plan: timesteps and steps.
        warnings: what the user should know.
    """

    request: EditRequest
    settings: ResolvedSettings
    folder: Path
    engine: TorchEngine
    cache: InversionCache
    grids: Grids
    plan: Plan
    clock: _Clock
    warnings: list[str]

    @classmethod
    def load(
        cls,
        request: EditRequest,
        settings: ResolvedSettings,
        folder: Path,
        cache: InversionCache,
        clock: _Clock,
    ) -> Editor:
        """Load the bundle onto the device that the settings name."""
        device = choose_device(settings.device)
        dtype = choose_dtype(settings.precision, device)
        bundle = load_bundle(folder, device=device, dtype=dtype, control_attention=settings.control_attention)
        engine = TorchEngine(bundle, settings.control_scale)
        grids = make_grids(bundle.schedule, settings.steps, settings.inversion_steps)
        plan = make_plan(settings)
        captions = _captions(request, settings)
        warnings = [
            f'the caption "{caption[:60]}…" is longer than the model takes; its end is ignored'
            for caption in engine.too_long(captions)
        ]
        return cls(request, settings, folder, engine, cache, grids, plan, clock, warnings)

    def run(self, clip: Clip, mattes: Mattes, frames: FrameRange, report: Report) -> Iterator[NDArray[np.generic]]:
        """Edit the frames window by window and yield them in order, in the clip's own depth.

        Only one window of frames at model size is in memory, and the source is read again for pasting.
        """
        windows = make_windows(len(frames), self.settings.window, self.settings.overlap)
        sources = clip.read(frames)
        carried: Tensor | None = None
        for number, window in enumerate(windows, start=1):

            def tell(stage: str, done: int, total: int, number: int = number) -> None:
                report(
                    Progress(
                        stage,
                        (number - 1) * total + done,
                        len(windows) * total,
                        number,
                        len(windows),
                    )
                )

            first = frames.first + window.first
            part = FrameRange(first, first + window.length - 1)
            z_0 = window.blend(carried, self._edit_window(clip, mattes, part, tell))
            carried = z_0[window.final :]
            for offset, decoded in enumerate(self._decode(z_0[: window.final])):
                alpha = mattes.read(first + offset)
                yield self._paste(next(sources), decoded, alpha)
                tell("write", offset + 1, window.final)

    def _edit_window(
        self, clip: Clip, mattes: Mattes, part: FrameRange, tell: Callable[[str, int, int], None]
    ) -> Tensor:
        """The edited z_0 [N, C, h, w] of one window."""
        tell("conditions", 0, 1)
        small = self._model_frames(clip, part)
        planes = [self._planes(mattes.read(index)) for index in part.indices()]
        flow_attention = None if self.settings.flow_attention == "none" else self.settings.flow_attention
        conditions = self.engine.conditions(small, planes, self.settings.flow, flow_attention, self.settings.mask_cells)
        tell("conditions", 1, 1)
        self.clock.lap("conditions")
        inverted = self._inverted(small, lambda done, total: tell("inversion", done, total))
        self.clock.lap("inversion")
        sampler = self._sampler(conditions, inverted)
        z_0 = inverted[None]
        for state in sampler.run(self.plan):
            tell("sampling", state.position, len(self.plan))
            z_0 = state.fused if state.fused is not None else z_0
        self.clock.lap("sampling")
        return z_0

    def _model_frames(self, clip: Clip, part: FrameRange) -> Pixels:
        size = model_size(
            clip.info.width,
            clip.info.height,
            self.settings.model_size,
            self.engine.bundle.latent_multiple,
        )
        return np.stack([model_frame(np.clip(to_float(frame), 0, 1), size) for frame in clip.read(part)])

    def _planes(self, alpha: Pixels) -> Pixels:
        """Mattes [M, H, W] as the method sees them; one global caption edits the frame as a whole."""
        if self.settings.caption_mode == "global":
            return np.ones((1, *alpha.shape[1:]), np.float32)
        return alpha

    def _inverted(self, small: Pixels, tell: Callable[[int, int], None]) -> Inverted:
        key = inversion_key(
            small,
            unet=_part_hash(self.folder, "unet"),
            vae=_part_hash(self.folder, "vae"),
            grids=self.grids,
            dtype=str(self.engine.dtype),
            device=self.engine.device.type,
        )
        kept = self.cache.load(key)
        if kept is not None:
            tell(1, 1)
            return kept
        z_0 = self.engine.encode(small)
        inverted = invert(z_0, self.grids, self.engine.bundle.schedule, self.engine, progress=tell)
        self.cache.save(key, inverted)
        return inverted

    def _sampler(self, conditions: Conditions, inverted: Inverted) -> Sampler:
        settings, z_0 = self.settings, inverted[None]
        masks = conditions.masks[z_0.shape[-2], z_0.shape[-1]].float()[:, :, None].to(z_0.device)
        chosen = _instances(self.request, settings)
        edits = Edits(
            captions=_captions(self.request, settings),
            guidance=tuple(_own(i.guidance, settings.guidance) for i in chosen),
            lambda_=tuple(_own(i.lambda_, settings.lambda_) for i in chosen),
            lambda_r=tuple(_own(i.lambda_r, settings.lambda_r) for i in chosen),
            ipr=settings.ipr,
            lambda_s=settings.lambda_s,
            per_forward=settings.instances_per_forward,
        )
        return Sampler(
            self.engine, self.engine.bundle.schedule, self.grids, edits, conditions, masks, inverted,
            self._initial(inverted[self.grids.sampling[0]], chosen),
        )  # fmt: skip

    def _initial(self, noisiest: Tensor, chosen: Sequence[Instance]) -> Tensor | None:
        """First latents per instance where a variation is asked for: seeded noise mixed in, variance kept."""
        share = self.settings.variation
        if share == 0:
            return None
        mixed = []
        for instance in chosen:
            generator = torch.Generator().manual_seed(_own(instance.seed, self.settings.seed))
            # One frame's noise for all frames, so that the variation does not flicker.
            noise = torch.randn(noisiest.shape[1:], generator=generator).to(noisiest.device)
            mixed.append((1 - share**2) ** 0.5 * noisiest + share * noise)
        return torch.stack(mixed)

    def _decode(self, z_0: Tensor, batch: int = 4) -> Iterator[Pixels]:
        for part in torch.split(z_0, batch):
            yield from self.engine.decode(part)

    def _paste(self, source: NDArray[np.generic], decoded: Pixels, alpha: Pixels) -> NDArray[np.generic]:
        """The source with the edit inside its mattes, every other pixel as it was."""
        coverage = np.clip(alpha.sum(0), 0, 1).astype(np.float32)
        if self.settings.feather:
            coverage = inward_feather(coverage, self.settings.feather)
        height, width = source.shape[:2]
        return paste(source, model_frame(decoded, (height, width)), coverage)

    def manifest(
        self,
        clip: Clip,
        mattes: Mattes,
        frames: FrameRange,
        out: Path,
        frames_hash: str,
        seconds: dict[str, float],
    ) -> Manifest:
        """What was done, so that it can be done again."""
        precision = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.engine.dtype]
        return Manifest(
            request=self.request,
            settings=self.settings,
            frames=frames,
            source_hash=content_hash(clip, frames),
            matte_hashes={str(path): _file_hash(Path(path)) for path in mattes.files},
            bundle=BundleRecord(name=self.request.bundle, files=hash_bundle(self.folder)),
            device=str(self.engine.device),
            precision=precision,  # type: ignore[arg-type]
            plan=dict(Counter(type(step).__name__.lower() for step in self.plan)),
            seconds=seconds,
            outputs=(str(out),),
            frames_hash=frames_hash,
        )


def _instances(request: EditRequest, settings: ResolvedSettings) -> Sequence[Instance]:
    return request.instances[:1] if settings.caption_mode == "global" else request.instances


def _captions(request: EditRequest, settings: ResolvedSettings) -> tuple[str, ...]:
    if settings.caption_mode == "global":
        return (request.global_caption,)
    return tuple(instance.caption for instance in request.instances)


def _own(value: T | None, default: T) -> T:
    return default if value is None else value


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _part_hash(folder: Path, part: str) -> str:
    """One hash over all files of a part of a bundle."""
    digest = hashlib.sha256()
    for name, value in bundle_hashes(find_part(folder, part)).items():
        digest.update(f"{name}={value};".encode())
    return digest.hexdigest()
