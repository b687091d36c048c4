"""Scores of an edited clip on disk, with any CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mive.engines.devices import choose_device
from mive.evaluate.metrics.embed import ClipEmbedder
from mive.evaluate.metrics.report import Scores, score_clip
from mive.evaluate.metrics.vectors import Embedder
from mive.media import open_clip, open_mattes
from mive.networks.bundle import load_scorer
from mive.networks.bundle_files import BUNDLES_FOLDER, BundleConfig, read_json
from mive.networks.bundle_hub import HUB_ID, download
from mive.request import USUAL_BUNDLE, FrameRange, Instance
from mive.settings import MATTE_FIT, MatteFit


def load_judge(name: str | Path) -> ClipEmbedder:
    """The CLIP that judges edits, on the fastest device there is.

    Args:
        name: a model bundle, whose CLIP it is, or a CLIP by itself: a folder of transformers' layout with
            its tokenizer, or the id of one on the hub.

    Raises:
        BundleError: there is none of that name, or it has no usable CLIP.
    """
    device = choose_device("auto")
    clip = _lone_clip(name)
    if clip is None:
        return ClipEmbedder(*load_scorer(name, device=device), device)
    with TemporaryDirectory() as scratch:
        config = BundleConfig(parts={"clip": str(clip), "tokenizer": str(clip)})
        (Path(scratch) / "bundle.json").write_text(config.to_json(), encoding="utf-8")
        return ClipEmbedder(*load_scorer(scratch, device=device), device)


def _lone_clip(name: str | Path) -> Path | None:
    """The folder of a CLIP that is no bundle; None where the name means a bundle."""
    folder = Path(name).expanduser()
    if (BUNDLES_FOLDER / folder.name).is_dir() and str(name) == folder.name:
        return None
    if not folder.exists() and HUB_ID.fullmatch(str(name)):
        folder = download(str(name), f"Copy it here by hand and name its folder instead of {name}")
    config = folder / "config.json"
    return folder.absolute() if config.is_file() and read_json(config).get("model_type") == "clip" else None


def score_files(
    source: str | Path,
    edited: str | Path,
    mattes: str | None,
    instances: Sequence[Instance],
    *,
    frames: FrameRange | None = None,
    bundle: str = USUAL_BUNDLE,
    matte_fit: MatteFit = MATTE_FIT,
    global_caption: str = "",
    global_source_caption: str = "",
    judge: Embedder | None = None,
) -> Scores:
    """Scores an edit against its source.

    Args:
        source, edited: clips.
        mattes: ID matte for the instances without a matte of their own.
        instances: their captions, and their source captions where they are known.
        frames: the frames of ``source`` that ``edited`` holds, or, where both are equally long,
            the frames of both to look at; None means all.
        bundle: what :func:`load_judge` takes; not looked at where there is a judge.
        matte_fit: as in :class:`mive.request.Settings`.
        global_caption: what the whole frame should show; empty = the captions, joined by "and".
        global_source_caption: what the whole source shows; empty = the source captions, joined by "and".
        judge: scores the edit; None loads one.

    Raises:
        MediaError: a clip cannot be read, or the two do not fit together.
        MatteError: the mattes do not fit.
        BundleError: the bundle has no usable CLIP.
    """
    before, after = open_clip(source), open_clip(edited)
    span = frames or FrameRange(0, before.info.frames - 1)
    same_length = before.info.frames == after.info.frames
    layers = open_mattes(mattes, instances, before.info, span, matte_fit)
    return score_clip(
        before.read(span),
        after.read(span if same_length else None),
        layers,
        [instance.caption for instance in instances],
        [instance.source_caption for instance in instances],
        global_caption,
        global_source_caption,
        judge or load_judge(bundle),
        ids=[instance.id for instance in instances],
    )
