"""Scores of an edited clip on disk, with the CLIP of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mive.engines.torch_engine import choose_device
from mive.media import open_clip, open_mattes
from mive.metrics.embed import ClipEmbedder
from mive.metrics.report import Scores, score_clip
from mive.networks.bundle import load_scorer
from mive.request import FrameRange, Instance
from mive.settings import MatteFit


def score_files(
    source: str | Path,
    edited: str | Path,
    mattes: str | None,
    instances: Sequence[Instance],
    *,
    frames: FrameRange | None = None,
    bundle: str = "tiny",
    matte_fit: MatteFit = "exact",
    global_caption: str = "",
) -> Scores:
    """Scores an edit against its source.

    Args:
        source, edited: clips.
        mattes: ID matte for the instances without a matte of their own.
        instances: their captions, and their source captions where they are known.
        frames: the frames of ``source`` that ``edited`` holds, or, where both are equally long,
            the frames of both to look at; None means all.
        bundle: its CLIP is the judge.
        matte_fit: as in :class:`mive.request.Settings`.
        global_caption: what the whole frame should show; empty = the captions, joined by "and".

    Raises:
        MediaError: a clip cannot be read, or the two do not fit together.
        MatteError: the mattes do not fit.
        BundleError: the bundle has no usable CLIP.
    """
    before, after = open_clip(source), open_clip(edited)
    span = frames or FrameRange(0, before.info.frames - 1)
    same_length = before.info.frames == after.info.frames
    layers = open_mattes(mattes, instances, before.info, span, matte_fit)
    device = choose_device("auto")
    model, processor, tokenizer = load_scorer(bundle, device=device)
    return score_clip(
        before.read(span),
        after.read(span if same_length else None),
        layers,
        [instance.caption for instance in instances],
        [instance.source_caption for instance in instances],
        global_caption,
        "",
        ClipEmbedder(model, processor, tokenizer, device),
        ids=[instance.id for instance in instances],
    )
