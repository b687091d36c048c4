"""Edits the windows of a clip: conditions → inversion → plan → decode → paste."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mive.base.progress import Clock, Progress, Report
from mive.editing.checkpoint import Checkpoint, Keep
from mive.editing.framing import (
    Finish,
    FramedWindow,
    Framing,
    FramingRule,
    Picture,
    View,
    find_losses,
    frame_shot,
    measure,
    paste_views,
    to_model,
)
from mive.editing.inversions import InversionCache, inversion_key
from mive.editing.previews import Previews, ViewPreview
from mive.editing.samplers import first_latents, instances_of, make_plan, make_sampler, own
from mive.editing.sketches import Sketcher
from mive.editing.views import Layer, Place, Teller, ViewPart, layers
from mive.engines.choice import Choice, choose_engine, engine_dtype, make_engine
from mive.engines.devices import choose_device
from mive.engines.engine import Engine
from mive.errors import EngineError
from mive.manifest import BundleRecord, Manifest
from mive.media import Clip, Mattes
from mive.method.sampling import Inverted, Sampler, State, invert
from mive.method.schedule import Grids
from mive.method.solvers import SOLVERS
from mive.networks.bundle import Bundle, load_bundle
from mive.networks.bundle_files import hash_bundle
from mive.plans import Plan
from mive.request import EditRequest, FrameRange, ResolvedSettings
from mive.settings import USUAL_ENGINE, EngineName

Pixels = NDArray[np.float32]

_INVERTING = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
"""The parts of a bundle that have a say in inverted latents."""


@dataclass
class Editor:
    """A loaded bundle ready to edit windows of one request.

    Attributes:
        request, settings: what to do.
        hashes: of the bundle's files.
        engine: the networks.
        cache: where inversions are kept.
        grids, plan: timesteps and steps.
        clock: the time of each stage.
        warnings: what the user should know.
    """

    request: EditRequest
    settings: ResolvedSettings
    hashes: Mapping[str, str]
    engine: Engine
    cache: InversionCache
    grids: Grids
    plan: Plan
    clock: Clock
    warnings: list[str]
    decoded_together: ClassVar[int] = 4
    """Frames."""

    @classmethod
    def load(
        cls,
        request: EditRequest,
        settings: ResolvedSettings,
        folder: Path,
        cache: InversionCache,
        clock: Clock,
        engine: EngineName = USUAL_ENGINE,
    ) -> Editor:
        """Load the bundle onto the device that the settings name, for an engine that runs there."""
        device = choose_device(settings.device)
        choice = choose_engine(engine, settings, device)
        dtype = engine_dtype(choice, settings, device)
        bundle = load_bundle(folder, device=device, dtype=dtype, control_attention=settings.control_attention)
        return cls.with_bundle(request, settings, bundle, hash_bundle(folder), cache, clock, choice)

    @classmethod
    def with_bundle(
        cls,
        request: EditRequest,
        settings: ResolvedSettings,
        bundle: Bundle,
        hashes: Mapping[str, str],
        cache: InversionCache,
        clock: Clock,
        choice: Choice = Choice("torch"),  # noqa: B008 (it cannot change)
    ) -> Editor:
        """An editor on networks that are loaded already, with the device, precision and control attention they have.

        Args:
            hashes: of the bundle's files, as `hash_bundle` gives them.
            choice: the engine that runs them.
        """
        engine = make_engine(choice, bundle, hashes, settings)
        grids = SOLVERS[settings.solver].grids(bundle.schedule, settings.steps, settings.inversion_steps)
        plan = make_plan(settings)
        warnings = [choice.why] if choice.why else []
        warnings += [
            f'the caption "{caption[:60]}…" is longer than the model takes; its end is ignored'
            for caption in engine.too_long([instance.caption for instance in instances_of(request, settings)])
        ]
        return cls(request, settings, hashes, engine, cache, grids, plan, clock, warnings)

    def frame(self, mattes: Mattes, told: Callable[[int, int], None] = lambda done, total: None) -> Framing:
        """What the model is shown of the shot; what it will miss is added to `warnings`.

        Args:
            mattes: are read once, from the first frame to the last.
            told: how many of the frames are read.
        """
        extents = measure(mattes, told)
        framing = frame_shot(extents, FramingRule.of(self.settings, self.engine.bundle.layout))
        self.warnings.extend(loss.sentence for loss in find_losses(framing, extents))
        return framing

    def run(
        self,
        clip: Clip,
        mattes: Mattes,
        framing: Framing,
        report: Report,
        start: Checkpoint | None = None,
        keep: Keep = lambda checkpoint: None,
        previews: Previews | None = None,
        source: Iterator[NDArray[np.generic]] | None = None,
    ) -> Iterator[NDArray[np.generic]]:
        """Edit the frames window by window, each view by view, and yield them in order, in the clip's own depth.

        Only one view's frames at model size are in memory; the source is read for each view, and again for pasting.

        Args:
            framing: what `frame` said of these mattes.
            report: told how far the edit is; it may raise to stop it.
            start: where to go on; the first frame yielded is then the first of that window. The frames are the same,
                bit for bit, as those of an edit that was never stopped.
            keep: given a checkpoint after every step, view and window's last frame.
            previews: how often previews are made, and who gets them.
            source: the clip's frames from the first one yielded on, which are pasted over; None reads them.
        """
        windows = framing.windows()
        finish = Finish(self.settings.detail, self.settings.grain, self.settings.seed, self.settings.feather)
        start = (start or Checkpoint()).mapped(lambda z: z.to(self.engine.device))
        frames = framing.frames
        source = source or clip.read(FrameRange(windows[start.window].frames.first, frames.last))
        for number, framed in enumerate(windows[start.window :], start=start.window + 1):
            earlier = sum(len(window.views) for window in windows[: number - 1])
            place = Place(number, len(windows), earlier + 1, len(framing.views))
            made = self._edit_views(clip, mattes, framed, place, report, start, keep, previews)
            now = layers(framed, start.carried, made)
            for index, pictures in zip(framed.final.indices(), self._pictures(now, framed.window.final), strict=True):
                alpha = mattes.read(index)
                yield paste_views(next(source), pictures, alpha, mattes.ids, index, finish)
                report(Progress("write", index - frames.first + 1, len(frames), number, len(windows)))
            left = (layer.after(framed.window.final) for layer in now)
            start = Checkpoint(number, tuple(layer for layer in left if layer.weights))
            if number < len(windows):
                keep(start)

    def _edit_views(
        self,
        clip: Clip,
        mattes: Mattes,
        framed: FramedWindow,
        place: Place,
        report: Report,
        start: Checkpoint,
        keep: Keep,
        previews: Previews | None,
    ) -> Iterator[tuple[View, Tensor]]:
        """Every view of a window with its z_0 [N, C, h, w], from ``start`` on, which lies on the engine's device."""
        reached = start
        for offset, view in enumerate(framed.views):
            if offset < len(start.edited):
                yield view, start.edited[offset]
                continue
            part = ViewPart(self.request, self.settings, view, mattes)
            now = replace(place, view=place.view + offset)

            def keep_state(state: State, reached: Checkpoint = reached) -> None:
                keep(replace(reached, state=state))

            shown = None if previews is None else previews.of_view(framed.window.first, part.places, now)
            tell = now.teller(report)
            tell("conditions", 0, 1)
            small = np.stack([to_model(frame, view, index) for index, frame in
                              zip(view.frames.indices(), clip.read(view.frames), strict=True)])  # fmt: skip
            z_0 = self.edit_view(part.request, small, part.planes(), tell, reached.state, keep_state, shown)
            reached = replace(reached, edited=(*reached.edited, z_0), state=None)
            if offset + 1 < len(framed.views):
                keep(reached)
            yield view, z_0

    def edit_view(
        self,
        request: EditRequest,
        small: Pixels,
        planes: Iterator[Pixels],
        tell: Teller,
        state: State | None,
        keep: Callable[[State], None],
        previews: Previews | None,
    ) -> Tensor:
        """The edited z_0 [N, C, h, w] of one view, from ``state`` on; editors of another kind make it otherwise.

        Args:
            request: with the M instances of the view, each with its guidance there.
            small: the frames at model size, [N, H, W, 3] in 0..1.
            planes: each frame's mattes in the view's box, as the method sees them, [M, height, width] in 0..1.
            tell: told how far each stage is.
            keep: given every state that the edit can go on from.
            previews: of this view.
        """
        flow_attention = None if self.settings.flow_attention == "none" else self.settings.flow_attention
        conditions = self.engine.conditions(small, planes, self.settings.flow, flow_attention, self.settings.mask_cells)
        self.clock.lap("conditions")
        key = self._inversion_key(small)
        inverted = self._kept_inversion(key)
        z_0 = self.engine.encode(small) if inverted is None else inverted[None]
        sampler = make_sampler(request, self.settings, self.engine, self.grids, conditions, z_0)
        preview = None if previews is None else ViewPreview(small, z_0, sampler.masks)
        if previews and preview and previews.sketches and inverted is None and state is None:
            seeds = [own(instance.seed, self.settings.seed) for instance in instances_of(request, self.settings)]
            self._sketch(previews, preview, sampler, z_0, seeds, partial(tell, "conditions"))
        tell("conditions", 1, 1)
        if inverted is not None:
            tell("inversion", 1, 1)
        else:
            told = partial(tell, "inversion")
            inverted = invert(z_0, self.grids, sampler.schedule, self.engine, solver=sampler.solver, progress=told)
            self.cache.save(key, inverted)
        self.clock.lap("inversion")
        initial = first_latents(request, self.settings, inverted[self.grids.sampling[0]], sampler.masks)
        sampler = replace(sampler, inverted=inverted, initial=initial)

        def reach(reached: State) -> None:
            keep(reached)
            tell("sampling", reached.position, len(self.plan))
            if previews and preview:
                seen = preview.after(self.plan[reached.position - 1], reached, sampler)
                previews.show(seen, reached.position, len(self.plan))

        return self._sample(sampler, state, reach)

    def _sketch(
        self,
        previews: Previews,
        preview: ViewPreview,
        sampler: Sampler,
        z_0: Tensor,
        seeds: Sequence[int],
        told: Callable[[int, int], None],
    ) -> None:
        """Show every instance in a sketch, where that takes less than the inversion, which comes next."""
        sketcher = Sketcher(sampler, z_0, seeds, self.settings, told)
        # With TensorRT, programs for single frames would have to be built first.
        if self.engine.name != "torch" or sketcher.forwards >= len(z_0) * len(self.grids.inversion):
            return
        # No picture is a reason to fail. What is wrong with the edit it will say itself.
        with contextlib.suppress(EngineError):
            previews.show(preview.before(sketcher.sketch), 0, len(self.plan))
        self.clock.lap("sketch")

    def _sample(self, sampler: Sampler, state: State | None, reach: Callable[[State], None]) -> Tensor:
        z_0 = None if state is None else state.fused
        for reached in sampler.run(self.plan, state):
            reach(reached)
            z_0 = reached.fused
        self.clock.lap("sampling")
        assert z_0 is not None, "a plan ends with fused latents"
        return z_0

    def _inversion_key(self, small: Pixels) -> str:
        return inversion_key(
            small,
            files={name: digest for name, digest in self.hashes.items() if name.split("/")[0] in _INVERTING},
            grids=self.grids,
            solver=self.settings.solver,
            dtype=str(self.engine.dtype),
            device=self.engine.device.type,
            engine=f"{self.engine.name}{self.engine.scales}",
        )

    def _kept_inversion(self, key: str) -> Inverted | None:
        kept = self.cache.load(key)
        return None if kept is None else {t: z.to(self.engine.device) for t, z in kept.items()}

    def _pictures(self, now: Sequence[Layer], count: int) -> Iterator[list[Picture]]:
        """What each of the first ``count`` frames of a window's layers is pasted from."""
        streams = [(layer, self._decode(layer.z[:count])) for layer in now]
        for offset in range(count):
            yield [
                Picture(layer.view, next(decoded), layer.weights[offset])
                for layer, decoded in streams
                if offset < len(layer.weights)
            ]

    def _decode(self, z_0: Tensor) -> Iterator[Pixels]:
        for part in torch.split(z_0, self.decoded_together):
            yield from self.engine.decode(part)

    def manifest(
        self,
        source_hash: str,
        matte_hashes: dict[str, str],
        framing: Framing,
        outputs: tuple[str, ...],
        frames_hash: str,
        seconds: dict[str, float],
        warnings: tuple[str, ...],
    ) -> Manifest:
        """What was done, so that it can be done again; see `Manifest`."""
        precision = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.engine.dtype]
        return Manifest(
            request=self.request,
            settings=self.settings,
            frames=framing.frames,
            views=tuple(view.model_dump(mode="json") for view in framing.views),
            source_hash=source_hash,
            matte_hashes=matte_hashes,
            bundle=BundleRecord(name=self.request.bundle, files=dict(self.hashes)),
            device=str(self.engine.device),
            engine=self.engine.name,
            precision=precision,  # type: ignore[arg-type]
            scales=self.engine.scales,
            plan=dict(Counter(type(step).__name__.lower() for step in self.plan)),
            seconds=seconds,
            outputs=outputs,
            frames_hash=frames_hash,
            warnings=warnings,
        )
