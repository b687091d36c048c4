"""What a suite is made of: the columns of the paper's Tables 1 and 4, and instances by size and clips by number."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from mive.errors import MatteError
from mive.evaluate.bench.suite import SuiteClip
from mive.evaluate.bench.tables import GROUPS, PAPER_AREA
from mive.evaluate.metrics.report import SIZES, size_class
from mive.media import open_clip
from mive.media.matte_tracks import IdTrack

Span = tuple[float, float]
"""The least and the most."""

COLUMNS: Final = (
    "use",
    "clips",
    "frames per clip",
    "objects per clip",
    "object classes",
    "instances per object class",
    "instances per clip",
    "instances",
    "average mask size (%)",
)


@dataclass(frozen=True)
class Seen:
    """One instance of a clip.

    Attributes:
        class_name: its object class, or what it is called where the suite names none.
        edited: whether it has a target.
        share: its mask's mean share of the frame, 0..1.
    """

    class_name: str
    edited: bool
    share: float


@dataclass(frozen=True)
class SeenClip:
    """A clip with all its instances."""

    name: str
    frames: int
    instances: tuple[Seen, ...]


@dataclass(frozen=True)
class Row:
    """One line of the paper's Table 4; spans over the clips, sizes over the instances.

    Objects of a clip are counted by class: only so can a clip of the paper have up to 17 instances of one class and
    no more than 9 objects.
    """

    use: str
    clips: int
    frames: Span
    objects: Span
    classes: int
    instances_per_class: Span
    instances_per_clip: Span
    instances: int
    size_percent: Span


@dataclass(frozen=True)
class Stats:
    """What a suite is made of.

    Attributes:
        name: the suite's name.
        rows: all instances, then only the edited ones.
        sizes: edited instances by COCO's classes, scaled to 512 × 512 (Table 5).
        groups: clips by their number of edited instances (Table 6).
        classes: edited instances by class, most first.
    """

    name: str
    rows: tuple[Row, ...]
    sizes: dict[str, int]
    groups: dict[str, int]
    classes: dict[str, int]


def look(clip: SuiteClip) -> SeenClip:
    """Read a clip's mattes.

    Raises:
        MediaError: the source or a matte cannot be read.
    """
    track = IdTrack(clip.mattes, "mattes")
    pixels: Counter[int] = Counter()
    area = 0
    for number in range(track.count):
        ids, counts = np.unique(track.read(number), return_counts=True)
        pixels.update(dict(zip(ids.tolist(), counts.tolist(), strict=True)))
        area += int(counts.sum())
    for one in clip.about.instances:
        if not pixels[one.id]:
            raise MatteError(
                f"{clip.mattes} never shows instance {one.id}",
                expected="every instance of clip.json in the mattes",
                fix="Correct its id, or take it out of clip.json",
            )
    instances = tuple(
        Seen(one.class_name or one.source_caption, bool(one.caption.strip()), pixels[one.id] / area)
        for one in clip.about.instances
    )
    return SeenClip(clip.name, open_clip(clip.source).info.frames, instances)


def measure(name: str, seen: Sequence[SeenClip]) -> Stats:
    """The statistics of a suite whose clips were all looked at."""
    edited = [SeenClip(clip.name, clip.frames, tuple(one for one in clip.instances if one.edited)) for clip in seen]
    targets = [one for clip in edited for one in clip.instances]
    sizes = Counter(size_class(one.share * PAPER_AREA) for one in targets)
    return Stats(
        name=name,
        rows=(_row("full set", seen), _row("edited", edited)),
        sizes={size: sizes[size] for size in SIZES},
        groups={group: sum(len(clip.instances) in span for clip in edited) for group, span in GROUPS.items()},
        classes=dict(Counter(one.class_name for one in targets).most_common()),
    )


def as_json(stats: Stats) -> dict[str, Any]:
    """For machines; spans as [least, most]."""
    made: dict[str, Any] = json.loads(json.dumps(asdict(stats)))
    return made


def as_markdown(stats: Stats) -> str:
    """For people and papers."""
    lines = [f"# {stats.name}", "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line(_told(row)) for row in stats.rows]
    for title, counts in (
        ("Edited instances by size", stats.sizes),
        ("Clips by edited instances", stats.groups),
        ("Edited instances by class", stats.classes),
    ):
        lines += ["", f"{title}: {', '.join(f'{name} {count}' for name, count in counts.items())}."]
    return "\n".join(lines) + "\n"


def _row(use: str, clips: Sequence[SeenClip]) -> Row:
    instances = [one for clip in clips for one in clip.instances]
    classes = [Counter(one.class_name for one in clip.instances) for clip in clips]
    least, most = _span(one.share for one in instances)
    return Row(
        use=use,
        clips=len(clips),
        frames=_span(clip.frames for clip in clips),
        objects=_span(len(one) for one in classes),
        classes=len({one.class_name for one in instances}),
        instances_per_class=_span(count for one in classes for count in one.values()),
        instances_per_clip=_span(len(clip.instances) for clip in clips),
        instances=len(instances),
        size_percent=(round(100 * least, 4), round(100 * most, 4)),
    )


def _span(values: Iterable[float]) -> Span:
    found = list(values)
    return min(found), max(found)


def _told(row: Row) -> list[str]:
    return [
        row.use,
        str(row.clips),
        *(f"{least}–{most}" for least, most in (row.frames, row.objects)),
        str(row.classes),
        *(f"{least}–{most}" for least, most in (row.instances_per_class, row.instances_per_clip)),
        str(row.instances),
        f"{row.size_percent[0]:.2f}–{row.size_percent[1]:.2f}",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
