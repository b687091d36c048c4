"""VIPSeg as it lies on disk: videos as folders of frames, and a panoptic mask for each frame.

``imgs/VIDEO/*.jpg`` (``images/`` in the 720p form), ``panomasks/VIDEO/*.png``, ``panoVIPSeg_categories.json`` and
the splits ``train.txt``, ``val.txt`` and ``test.txt`` with a video's name a line. A mask's value is 0 where nothing is
labelled, a class's number (1–124) for stuff, and 100 × that number + the instance's for things; the class's ``id`` in
the JSON file is one less than its number. Source: README.md and create_panoptic_video_labels.py of
github.com/VIPSeg-Dataset/VIPSeg-Dataset, whose issue 1 says that the value 200 is a mistake and means 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mive.base.validation import did_you_mean
from mive.errors import MediaError, RequestError
from mive.media import Pixels
from mive.media.image import read_image

CATEGORIES_FILE: Final = "panoVIPSeg_categories.json"
RATE: Final = Fraction(5)
"""Frames a second: every third of VSPW's 15."""

_IMAGE_FOLDERS: Final = ("imgs", "images")
_MASKS: Final = "panomasks"
_INSTANCES: Final = 100
_LARGEST_STUFF: Final = 124


@dataclass(frozen=True)
class Category:
    """An object class; a thing's instances are told apart, stuff's are not."""

    name: str
    thing: bool

    @property
    def words(self) -> str:
        """The name as people write it, "bottle or cup"."""
        return self.name.replace("_", " ").lower()


@dataclass(frozen=True)
class Video:
    """A video with masks; a frame's image and mask stand at the same place."""

    name: str
    images: tuple[Path, ...]
    masks: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.masks)

    def image(self, number: int) -> Pixels:
        """``[H, W, 3]`` uint8, sRGB.

        Raises:
            MediaError: the image cannot be read.
        """
        return read_image(self.images[number]).rgb()

    def mask(self, number: int) -> NDArray[np.int32]:
        """``[H, W]`` mask values as they are stored.

        Raises:
            MediaError: the mask cannot be read, or is no grey picture.
        """
        grey = read_image(self.masks[number]).grey()
        if grey is None:
            raise MediaError(
                f"{self.masks[number]} is a colour picture",
                expected="a grey PNG whose values are 100 x class + instance",
                fix="Use the folder panomasks as it was published, not panomasksRGB",
            )
        return grey.astype(np.int32)


class Vipseg:
    """A copy of VIPSeg, or of a part of it.

    Args:
        root: the folder that holds ``panomasks``; splits and categories may lie there or one folder above or below.

    Raises:
        RequestError: the folder is not laid out as VIPSeg is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        images = next((root / name for name in _IMAGE_FOLDERS if (root / name).is_dir()), None)
        self._masks = root / _MASKS
        if images is None or not self._masks.is_dir():
            inner = next((path.parent for path in root.glob(f"*/{_MASKS}")), None)
            raise RequestError(
                f"{root} has no folders {_IMAGE_FOLDERS[0]} and {_MASKS}",
                expected=f"VIPSeg as published: {_IMAGE_FOLDERS[0]}/VIDEO/*.jpg and {_MASKS}/VIDEO/*.png",
                fix=f"Give {inner} instead" if inner else "Check the path, and unpack VIPSeg there",
                field="vipseg",
            )
        self._images = images
        self.categories = _read_categories(self._find(CATEGORIES_FILE))

    def category(self, value: int) -> Category | None:
        """What a mask's value means; None where nothing is labelled."""
        thing = value > _LARGEST_STUFF
        found = self.categories.get(value // _INSTANCES if thing else value)
        # Instances of stuff, such as the value 200, are mistakes and mean nothing.
        return None if found is None or (thing and not found.thing) else found

    def is_instance(self, value: int) -> bool:
        """Whether a mask's value is one instance of a thing; a thing without a number is a crowd, as stuff is."""
        return value > _LARGEST_STUFF and self.category(value) is not None

    def names(self, splits: Iterable[str] = ()) -> list[str]:
        """The names of the videos that have masks, sorted; of some splits, or of all.

        Raises:
            RequestError: there is no such split, or none of its videos has masks.
        """
        there = {path.name for path in self._masks.iterdir() if path.is_dir()}
        wanted: set[str] = set()
        for split in splits:
            path = self._find(f"{split}.txt", others=[place.stem for place in self.root.glob("*.txt")])
            listed = set(path.read_text(encoding="utf-8").split())
            if not listed & there:
                raise RequestError(
                    f"no video of {path} is in {self._masks}",
                    expected="a split whose masks are here; those of VIPSeg's test split are not published",
                    fix="Choose another split, or unpack its masks",
                    field="split",
                )
            wanted |= listed
        found = sorted(there & wanted if wanted else there)
        if not found:
            raise RequestError(
                f"there are no videos in {self._masks}",
                expected="a folder of PNG masks for each video",
                fix="Unpack VIPSeg there",
                field="vipseg",
            )
        return found

    def video(self, name: str) -> Video:
        """A video's frames, in order.

        Raises:
            MediaError: a mask has no image.
        """
        masks = sorted((self._masks / name).glob("*.png"))
        images = {path.stem: path for path in (self._images / name).glob("*.jpg")}
        for mask in masks:
            if mask.stem not in images:
                raise MediaError(
                    f"{mask} has no image",
                    expected=f"{self._images / name / mask.stem}.jpg",
                    fix="Unpack the video again",
                )
        return Video(name, tuple(images[mask.stem] for mask in masks), tuple(masks))

    def _find(self, name: str, others: Iterable[str] = ()) -> Path:
        places = [self.root, self.root.parent, *sorted(path for path in self.root.iterdir() if path.is_dir())]
        found = next((place / name for place in places if (place / name).is_file()), None)
        if found is None:
            raise RequestError(
                f"there is no {name} in {self.root}",
                expected="the file of that name which comes with VIPSeg",
                fix=did_you_mean(Path(name).stem, list(others)) or "Copy it there",
                field="vipseg",
            )
        return found


def _read_categories(path: Path) -> dict[int, Category]:
    """The classes by their number in a mask."""
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_bytes())
        return {row["id"] + 1: Category(row["name"], bool(row["isthing"])) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"{path} cannot be read: {error!r}",
            expected='a list such as [{"id": 60, "name": "person", "isthing": 1}]',
            fix="Copy the file again; it comes with VIPSeg",
            field="vipseg",
        ) from error
