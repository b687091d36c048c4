"""The identity of a clip's pixels, and of the files of mattes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mive.media.clip import Clip
from mive.media.info import ClipInfo, Pixels
from mive.media.mattes import Mattes
from mive.media.reading import each_read

if TYPE_CHECKING:
    from _hashlib import HASH as Hash

    from mive.request import FrameRange


_PIECE: Final = 1 << 20


def content_hash(clip: Clip, frames: FrameRange | None = None) -> str:
    """SHA-256 (hex) of the decoded frames, their size and their depth.

    Two clips that decode to the same pixels have the same hash, whatever file they come from.

    Raises:
        MediaError: as :meth:`Clip.read`.
    """
    digest = content_digest(clip.info)
    for _ in hashed(clip.read(frames), digest):
        pass
    return digest.hexdigest()


def content_digest(info: ClipInfo) -> Hash:
    """What `content_hash` begins with: the frames are still to be taken."""
    return hashlib.sha256(f"{info.width}x{info.height} {info.depth}\n".encode())


def hashed(frames: Iterable[Pixels], digest: Hash) -> Iterator[Pixels]:
    """The frames, whose pixels a digest takes on their way."""
    for frame in frames:
        digest.update(np.ascontiguousarray(frame).data)
        yield frame


def matte_hashes(mattes: Mattes) -> dict[str, str]:
    """SHA-256 (hex) of every matte file, by its path."""
    return {str(path): _file_hash(Path(path)) for path in mattes.files}


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in each_read(path, iter(partial(file.read, _PIECE), b"")):
            digest.update(piece)
    return digest.hexdigest()
