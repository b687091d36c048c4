"""How an edit looks so far: a picture that users can open while it is being made."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mive.base.atomic import write_whole
from mive_bridge.files import private_folder

if TYPE_CHECKING:
    from mive.client import Preview
    from mive.media.info import Pixels

EVERY: Final = 1
"""Steps between two previews; the shortest edits have some twenty."""

_GAP: Final = 4


def previews_folder(edits: Path) -> Path:
    """Of the previews of a bridge's edits, beside the folder of which these are one bridge's part."""
    return edits.parent.with_name("previews") / edits.name


class PreviewSheet:
    """The newest preview of each instance, side by side in the order of their ids; of one attempt.

    Args:
        path: of the PNG, which is there from the first preview until :meth:`close`. Nothing else may have it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._images: dict[int, Pixels] = {}
        self._line = ""
        self._closed = False

    @property
    def line(self) -> str:
        """What users are told about it; empty where there is none."""
        return "" if self._closed else self._line

    def show(self, preview: Preview) -> None:
        """Draws it anew, in one thread at a time. That it cannot be written stops nothing. Blocks."""
        import cv2

        self._images[preview.instance] = preview.image
        drawn, data = cv2.imencode(".png", _side_by_side([self._images[key] for key in sorted(self._images)]))
        assert drawn
        with contextlib.suppress(OSError):
            private_folder(self._path.parent)
            write_whole(self._path, (data.tobytes(),), durable=False)
            step = f"after step {preview.done} of {preview.total}" if preview.done else "from a quick sketch"
            self._line = f"Preview {step}: {self._path}"
        if self._closed:
            self._remove()

    def close(self) -> None:
        """Takes it away for good, also when it is being drawn this moment."""
        self._closed = True
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def _side_by_side(images: list[Pixels]) -> Pixels:
    """RGB images as one in BGR, on black."""
    height = max(image.shape[0] for image in images)
    cells = [np.pad(image, ((0, height - image.shape[0]), (0, _GAP), (0, 0))) for image in images]
    return np.ascontiguousarray(np.hstack(cells)[:, :-_GAP, ::-1])
