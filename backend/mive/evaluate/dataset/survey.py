"""What is to be seen in the centre of a video, and which videos the data set takes (Supp. C.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mive.base.atomic import write_text
from mive.base.validation import Model, WholeNumber
from mive.errors import MediaError, RequestError
from mive.evaluate.dataset.vipseg import Video, Vipseg
from mive.media.image import probe_image

SIDE: Final = 512
"""Pixels of a clip's sides."""

FEWEST_FRAMES: Final = 12
FREQUENT_CLASSES: Final = 40


class Region(Model):
    """One instance of a thing, or all of a stuff class, within the crop."""

    id: WholeNumber = Field(description="the id in the suite, from 1, things first")
    value: WholeNumber = Field(description="the value in VIPSeg's masks")
    class_name: str = Field(description="the class, as people write it")
    thing: bool = Field(description="whether it is an instance")
    fewest: WholeNumber = Field(description="its pixels in the frame that shows least of it")


class Survey(Model):
    """What is known about a video."""

    version: int = Field(default=1, description="the version of this format")
    name: str = Field(description="the video's name")
    width: WholeNumber = Field(description="the width in pixels")
    height: WholeNumber = Field(description="the height in pixels")
    frames: WholeNumber = Field(description="the number of frames")
    regions: tuple[Region, ...] = Field(description="what the crop shows")

    @property
    def things(self) -> tuple[Region, ...]:
        """The instances, which are what is edited."""
        return tuple(region for region in self.regions if region.thing)

    def ids(self, mask: NDArray[np.int32]) -> NDArray[np.uint8]:
        """A mask's values as the suite's ids, 0 where nothing is labelled."""
        table = np.zeros(max(region.value for region in self.regions) + 1, np.uint8)
        table[[region.value for region in self.regions]] = [region.id for region in self.regions]
        return np.asarray(np.where(mask < len(table), table[np.minimum(mask, len(table) - 1)], 0), np.uint8)


def centre(frame: NDArray[Any]) -> NDArray[Any]:
    """The central 512 × 512 pixels of ``[H, W, ...]``."""
    top, left = ((length - SIDE) // 2 for length in frame.shape[:2])
    return frame[top : top + SIDE, left : left + SIDE]


def survey(vipseg: Vipseg, video: Video) -> Survey:
    """Look at all masks of a video.

    Raises:
        MediaError: a mask cannot be read, has another size than the first, or more than 255 regions are shown.
    """
    height, width = video.mask(0).shape if len(video) else (0, 0)
    counts: list[Counter[int]] = []
    for number in range(len(video)):
        mask = video.mask(number)
        if mask.shape != (height, width):
            raise MediaError(
                f"{video.masks[number]} is {mask.shape[1]} x {mask.shape[0]}, and the first {width} x {height}",
                expected="masks of one size",
                fix="Unpack the video again",
            )
        pixels = np.bincount((centre(mask) if min(mask.shape) >= SIDE else mask).ravel())
        counts.append(Counter({int(value): int(pixels[value]) for value in pixels.nonzero()[0]}))
    seen = sorted({value for count in counts for value in count if vipseg.category(value)})
    seen.sort(key=lambda value: not vipseg.is_instance(value))
    if len(seen) > np.iinfo(np.uint8).max:
        raise MediaError(f"{video.name} shows {len(seen)} regions", expected="255 or fewer", fix="Leave it out")
    regions = []
    for place, value in enumerate(seen, start=1):
        category = vipseg.category(value)
        assert category is not None
        fewest = min(count[value] for count in counts)
        thing = vipseg.is_instance(value)
        regions.append(Region(id=place, value=value, class_name=category.words, thing=thing, fewest=fewest))
    return Survey(name=video.name, width=width, height=height, frames=len(video), regions=tuple(regions))


def kept_survey(folder: Path, vipseg: Vipseg, name: str) -> Survey:
    """A video's survey as it was written to ``folder`` before, or a new one, which is written there.

    Raises:
        MediaError: as `survey`.
        OutputError: it cannot be written.
    """
    path = folder / f"{name}.json"
    video = vipseg.video(name)
    try:
        kept = Survey.from_json(path.read_bytes())
    except (FileNotFoundError, RequestError):
        kept = None
    if kept is not None and kept.frames == len(video) and kept.height == _height(video):
        return kept
    made = survey(vipseg, video)
    write_text(path, made.to_json())
    return made


def _height(video: Video) -> int:
    """Which of VIPSeg's two forms it is shows in the first mask's header."""
    return probe_image(video.masks[0]).height if len(video) else 0


def frequent_classes(surveys: Iterable[Survey]) -> frozenset[str]:
    """The 40 classes of things with the most instances; of equals, the first by name."""
    counts = Counter(thing.class_name for one in surveys for thing in one.things)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    return frozenset(ranked[:FREQUENT_CLASSES])


def unfit(one: Survey, frequent: frozenset[str]) -> str | None:
    """Why the data set leaves a video out; None where it takes it."""
    classes = {thing.class_name for thing in one.things}
    if one.frames < FEWEST_FRAMES:
        return f"fewer than {FEWEST_FRAMES} frames"
    if min(one.width, one.height) < SIDE:
        return f"smaller than {SIDE} x {SIDE}"
    if not classes:
        return "no instances"
    if any(thing.fewest == 0 for thing in one.things):
        return "an instance is not in all frames"
    if len(classes) == 1 and classes <= frequent:
        return f"only one of the {FREQUENT_CLASSES} most frequent classes"
    return None
