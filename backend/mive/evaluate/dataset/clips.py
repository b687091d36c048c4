"""A video's centre as a clip of a suite: a lossless video and ID mattes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from mive.errors import MediaError
from mive.evaluate.dataset.survey import SIDE, Survey, centre
from mive.evaluate.dataset.vipseg import RATE, Video
from mive.media import ClipInfo, open_writer
from mive.request import FrameRange

SOURCE: Final = "source.mkv"
MATTES: Final = "mattes"


def write_media(video: Video, known: Survey, folder: Path) -> None:
    """Write ``source.mkv`` and ``mattes/`` into a clip's folder, if they are not both there.

    Raises:
        MediaError: an image cannot be read, or is not of its mask's size.
        OutputError: the clip cannot be written.
    """
    if (folder / SOURCE).is_file() and (folder / MATTES).is_dir():
        return
    info = ClipInfo(video.images[0], SIDE, SIDE, len(video), RATE)
    span = FrameRange(0, len(video) - 1)
    with open_writer(folder / SOURCE, info, span) as source, open_writer(folder / MATTES, info, span) as mattes:
        for number, path in enumerate(video.images):
            image, mask = video.image(number), video.mask(number)
            if image.shape[:2] != mask.shape:
                raise MediaError(
                    f"{path} is {image.shape[1]} x {image.shape[0]}, its mask {mask.shape[1]} x {mask.shape[0]}",
                    expected="an image and a mask of one size",
                    fix="Make the 720p form of VIPSeg again, images and masks together",
                )
            source.write(np.ascontiguousarray(centre(image)))
            mattes.write(np.repeat(known.ids(centre(mask))[..., None], 3, axis=2))
