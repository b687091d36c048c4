"""All scores of one edited clip, with their breakdowns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mive.errors import RequestError
from mive.evaluate.metrics import scores
from mive.evaluate.metrics.fidelity import Likeness
from mive.evaluate.metrics.gather import Pictures, gather
from mive.evaluate.metrics.ideal import IdealScores, against, average
from mive.evaluate.metrics.scores import Flags, Local
from mive.evaluate.metrics.vectors import Embedder, Vectors, require_finite
from mive.media.info import Coverage, Pixels

Size = Literal["small", "medium", "large"]
SIZES: tuple[Size, ...] = ("small", "medium", "large")


@dataclass(frozen=True)
class InstanceScores:
    """The local scores of one instance.

    Attributes:
        id: the instance's id.
        caption: what it should have become.
        source_caption: what it was; empty if unknown.
        frames: how many frames show it.
        area: its mean area in pixels of the clip, over the frames that show it.
        size: the class of that area, None if no frame shows it.
        ltc: mean similarity of its consecutive crops, -1..1.
        ltf: mean similarity of its crops and its caption, -1..1.
        ia: share of its frames more like the caption than the source caption.
        cia: share of its frames in which its own caption wins over the other instances'.
        leak: share of its frames in which another instance's caption wins: 1 - ``cia``.
        ideal: how near it is to the ideal edit; None where that is not known.
    """

    id: int
    caption: str
    source_caption: str
    frames: int
    area: float | None
    size: Size | None
    ltc: float | None
    ltf: float | None
    ia: float | None
    cia: float | None
    leak: float | None
    ideal: IdealScores | None = None


@dataclass(frozen=True)
class SizeScores:
    """The means of the local scores over the instances of one size (paper, Table 5)."""

    count: int
    ltc: float | None
    ltf: float | None
    ia: float | None
    cia: float | None


@dataclass(frozen=True)
class Scores:
    """The scores of one clip (paper, section 5). What could not be computed is None.

    Attributes:
        frames: how many frames were scored.
        gtc: Global Temporal Consistency, -1..1, higher is better.
        gtf: Global Textual Faithfulness, -1..1, higher is better.
        fa: Frame Accuracy, 0..1, higher is better.
        ltc: Local Temporal Consistency, -1..1, higher is better.
        ltf: Local Textual Faithfulness, -1..1, higher is better.
        ia: Instance Accuracy, 0..1, higher is better.
        cia: Cross-Instance Accuracy, 0..1, higher is better.
        cia_trivial: there is only one caption, so that ``cia`` is 1 whatever the edit.
        bp: Background Preservation, 0..255, lower is better.
        global_caption: the caption that ``gtf`` and ``fa`` were measured with.
        global_source_caption: the caption of the source that ``fa`` was measured with, or empty.
        by_size: the local scores by size class.
        instances: the local scores by instance, in the order of the captions.
        notes: for people: what is missing, and why.
        ideal: how near the instances are to the ideal edit, their mean; None where that is not known.
    """

    frames: int
    gtc: float | None
    gtf: float | None
    fa: float | None
    ltc: float | None
    ltf: float | None
    ia: float | None
    cia: float | None
    cia_trivial: bool
    bp: float | None
    global_caption: str
    global_source_caption: str
    by_size: Mapping[Size, SizeScores]
    instances: tuple[InstanceScores, ...]
    notes: tuple[str, ...]
    ideal: IdealScores | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, ready for JSON."""
        return dataclasses.asdict(self)

    def beside_ideal(self, found: Sequence[Likeness], ceiling: Sequence[Likeness]) -> Scores:
        """These scores with those against the ideal edit.

        Args:
            found: of the edit, by instance.
            ceiling: of the ideal after the VAE, by instance.
        """
        rows = zip(self.instances, found, ceiling, strict=True)
        hidden = [row for row in self.instances if 0 < row.frames < self.frames]
        told = (
            f"Instance {row.id} is in {row.frames} of {self.frames} frames: the others do not count against the ideal."
            for row in hidden
        )
        return dataclasses.replace(
            self,
            ideal=against(average(found), average(ceiling)),
            instances=tuple(dataclasses.replace(row, ideal=against(own, most)) for row, own, most in rows),
            notes=(*self.notes, *told),
        )


@dataclass(frozen=True)
class _Words:
    """The captions of an edit; ``known`` says which instances have a source caption of use."""

    ids: tuple[int, ...]
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    target: str
    source: str

    @property
    def known(self) -> Flags:
        pairs = zip(self.targets, self.sources, strict=True)
        return np.array([bool(source) and source != target for target, source in pairs])

    @property
    def comparable(self) -> bool:
        return bool(self.source) and self.source != self.target


def score_clip(
    source_frames: Iterable[Pixels],
    edited_frames: Iterable[Pixels],
    mattes: Iterable[Coverage],
    captions: Sequence[str],
    source_captions: Sequence[str],
    global_caption: str,
    global_source_caption: str,
    embedder: Embedder,
    *,
    ids: Sequence[int] | None = None,
) -> Scores:
    """Score an edited clip against its source, its mattes and its captions.

    Frames are read side by side and dropped; only their embeddings are kept.

    Args:
        source_frames: ``[H, W, 3]`` uint8, uint16 or float32 0..1.
        edited_frames: as many frames of the same size; their type may differ.
        mattes: ``[M, H, W]`` float32, 0..1, for each frame.
        captions: what each of the M instances should have become.
        source_captions: what each of them was, empty where unknown; ``()`` if none is known.
        global_caption: what the whole frame should show; empty = the captions, joined by "and".
        global_source_caption: what it showed; empty = the source captions, if all are known.
        embedder: the CLIP model to score with.
        ids: the instances' ids for the report, 1..M if not given.

    Raises:
        RequestError: the numbers of captions, source captions and ids differ.
        MediaError: source and edit differ in frames or size, or there are no frames.
        MatteError: the mattes differ from the clip in frames or size, or from the captions.
        EngineError: the CLIP model's embeddings are not finite.
    """
    words = _words(captions, source_captions, global_caption, global_source_caption, ids)
    pictures = gather(source_frames, edited_frames, mattes, len(words.targets), embedder)
    fa = None
    target = _embed(embedder, [words.target])[0]
    if words.comparable:
        fa = scores.fa(pictures.frames, target, _embed(embedder, [words.source])[0])
    local = _local(pictures, words, embedder)
    instances = _instances(pictures, words, local)
    return Scores(
        frames=len(pictures.frames),
        gtc=scores.gtc(pictures.frames),
        gtf=scores.gtf(pictures.frames, target),
        fa=fa,
        ltc=local["ltc"].score,
        ltf=local["ltf"].score,
        ia=local["ia"].score,
        cia=local["cia"].score,
        cia_trivial=len(set(words.targets)) == 1,
        bp=scores.mean(pictures.bp),
        global_caption=words.target,
        global_source_caption=words.source,
        by_size={size: _of_size(instances, size) for size in SIZES},
        instances=instances,
        notes=tuple(_notes(pictures, words, embedder)),
    )


def size_class(area: float) -> Size:
    """COCO's classes of area: small below 32², large above 96² pixels, medium between.

    The area is in pixels of the clip as it is scored, not of the model's input. The paper's clips
    are 512x512, so its tables by size compare only with clips of about that size.
    """
    if area < 32**2:
        return "small"
    return "large" if area > 96**2 else "medium"


def _words(
    captions: Sequence[str],
    source_captions: Sequence[str],
    global_caption: str,
    global_source_caption: str,
    ids: Sequence[int] | None,
) -> _Words:
    sources = tuple(source_captions) or ("",) * len(captions)
    numbers = tuple(range(1, len(captions) + 1) if ids is None else ids)
    if not captions or not len(captions) == len(sources) == len(numbers):
        raise RequestError(
            f"There are {len(captions)} captions, {len(sources)} source captions and {len(numbers)} instance ids",
            expected="one of each for every instance, and at least one instance",
            fix="Leave a source caption empty where it is unknown",
            field="captions",
        )
    return _Words(
        numbers,
        tuple(captions),
        sources,
        global_caption or " and ".join(captions),
        global_source_caption or (" and ".join(sources) if all(sources) else ""),
    )


def _embed(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    return require_finite(embedder.texts(texts), "captions")


def _local(pictures: Pictures, words: _Words, embedder: Embedder) -> dict[str, Local]:
    crops, present = pictures.crops, pictures.areas > 0
    targets = _embed(embedder, words.targets)
    # An unknown source caption is never compared with; the target stands in to keep the shape.
    pairs = zip(words.known, words.targets, words.sources, strict=True)
    sources = _embed(embedder, [source if known else target for known, target, source in pairs])
    return {
        "ltc": scores.ltc(crops, present),
        "ltf": scores.ltf(crops, present, targets),
        "ia": scores.ia(crops, present & words.known, targets, sources),
        "cia": scores.cia(crops, present, targets),
    }


def _instances(pictures: Pictures, words: _Words, local: Mapping[str, Local]) -> tuple[InstanceScores, ...]:
    rows = []
    for place, number in enumerate(words.ids):
        areas = pictures.areas[:, place]
        area = scores.mean(areas[areas > 0])
        ltc, ltf, ia, cia = (local[name].by_instance[place] for name in ("ltc", "ltf", "ia", "cia"))
        rows.append(
            InstanceScores(
                id=number,
                caption=words.targets[place],
                source_caption=words.sources[place],
                frames=int(np.count_nonzero(areas)),
                area=area,
                size=None if area is None else size_class(area),
                ltc=ltc,
                ltf=ltf,
                ia=ia,
                cia=cia,
                leak=None if cia is None else 1 - cia,
            )
        )
    return tuple(rows)


def _of_size(instances: Sequence[InstanceScores], size: Size) -> SizeScores:
    rows = [row for row in instances if row.size == size]
    return SizeScores(
        len(rows),
        ltc=scores.mean(row.ltc for row in rows),
        ltf=scores.mean(row.ltf for row in rows),
        ia=scores.mean(row.ia for row in rows),
        cia=scores.mean(row.cia for row in rows),
    )


def _notes(pictures: Pictures, words: _Words, embedder: Embedder) -> Iterable[str]:
    if len(pictures.frames) == 1:
        yield "One frame has no temporal consistency: GTC and LTC are missing."
    if not words.comparable:
        yield "The frame has no source caption, or it equals the caption: FA is missing."
    for number, known in zip(words.ids, words.known, strict=True):
        if not known:
            yield f"Instance {number} has no source caption of its own: it does not count in IA."
    for number, areas in zip(words.ids, pictures.areas.T, strict=True):
        if not areas.any():
            yield f"Instance {number} is in no frame: it has no scores."
    if len(set(words.targets)) == 1:
        yield "There is one caption only: CIA cannot be anything but 1."
    if scores.mean(pictures.bp) is None:
        yield "The mattes cover every frame: there is no background, BP is missing."
    for text in dict.fromkeys((*words.targets, *words.sources, words.target, words.source)):
        if embedder.too_long(text):
            yield f'The CLIP model reads only the beginning of "{text}".'
