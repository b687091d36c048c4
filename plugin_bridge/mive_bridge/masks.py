"""Which pixels of a frame are edited, kept so that the frame can be fetched again when its source is gone."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mive.base.atomic import write_whole
from mive.errors import MediaError

if TYPE_CHECKING:
    from mive.media import Pixels
    from mive_bridge.pixels import Mask


def write_mask(path: Path, mask: Mask, look: str) -> None:
    """Remembers the mask of a frame, and the print of its source. Blocks.

    Raises:
        OSError: the disk is full, or may not be written.
    """
    facts = json.dumps({"shape": mask.shape, "source": look}).encode()
    write_whole(path, (facts + b"\n", zlib.compress(np.packbits(mask).tobytes(), 1)), durable=False)


def read_mask(path: Path, colour: Pixels) -> tuple[Mask, str]:
    """What :func:`write_mask` wrote for a frame of this size. Blocks.

    Raises:
        OSError: it cannot be read.
        MediaError: it is of a frame of another size.
    """
    facts, _, bits = path.read_bytes().partition(b"\n")
    known = json.loads(facts)
    if tuple(known["shape"]) != colour.shape[:2]:
        raise MediaError("a frame has another size than before", fix="Press Analyse")
    height, width = colour.shape[:2]
    unpacked = np.unpackbits(np.frombuffer(zlib.decompress(bits), np.uint8), count=height * width)
    return unpacked.reshape(height, width).astype(bool), str(known["source"])
