"""One edit: what it is, how it stands, and what the disk remembers of it.

::

    KEY/edit.json    the order, and how the edit stands
    KEY/puts…        frames that were handed over, see :mod:`mive_bridge.puts`
    KEY/sent-…/      what goes to the server, until all edited frames are here, see :mod:`mive_bridge.parcel`
    KEY/masks/       which pixels of each frame are edited
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Final, Literal, Self

from mive.base.atomic import remove_asides, write_whole
from mive.base.jobs import JobState
from mive_bridge.files import private_folder
from mive_bridge.frames import FrameCache
from mive_bridge.messages import plain
from mive_bridge.names import hashed
from mive_bridge.orders import Order
from mive_bridge.previews import PreviewSheet, previews_folder
from mive_bridge.puts import Puts

Phase = Literal["collecting", JobState]

RECORD: Final = "edit.json"
"""The file of an edit that is written whenever it changes, and touched when it is opened."""

_MOST_RANGES: Final = 64
_MOST_TEXT: Final = 500


@dataclass
class Standing:
    """How an edit stands, as the disk remembers it.

    Attributes:
        server, token: where it is made: an address, and the path of a file; empty as in orders.
        attempt: counts how often it was started afresh.
        first, last: the frames of a file whose order says "all", once they are known.
        facts: sizes and times of the files that it is made from.
        made: the name of all that it is made from, once all of that is here.
        job: the server's, once it is submitted.
        by_upload: the server does not see this machine's files.
        changed: the source or the mattes are others now.
        text: what else the user should know.
    """

    phase: Phase = "collecting"
    server: str = ""
    token: str = ""
    attempt: int = 0
    first: int | None = None
    last: int | None = None
    facts: str = ""
    made: str = ""
    job: str = ""
    by_upload: bool = False
    changed: bool = False
    text: str = ""


class Edit:
    """One edit. What is not said to block is for the event loop only.

    Attributes:
        eta: seconds until it is done, where the server says so.
        stranded: it waits for a server that does not answer.
        task: what brings it forward.
        writing: held while frames that were handed over are changed.
        sheet: how it looks so far, while it is being made.
        told: what its user should know, while it is being made.
    """

    def __init__(self, folder: Path, order: Order, standing: Standing, cache: FrameCache) -> None:
        """Blocks."""
        private_folder(folder / "masks")
        remove_asides(folder)
        remove_asides(folder / "masks")
        self.folder = folder
        self.order = order
        self.at = standing
        self.puts = Puts(folder, order.key)
        self.eta: float | None = None
        self.stranded = False
        self.task: asyncio.Task[None] | None = None
        self.writing = asyncio.Lock()
        self.sheet: PreviewSheet | None = None
        self.told = ""
        self._saving = threading.Lock()
        self._cache = cache

    @classmethod
    def open(cls, folder: Path, cache: FrameCache) -> Self:
        """One that the disk remembers. Blocks.

        Raises:
            OSError, ValueError, Refused: it is none.
        """
        record = json.loads((folder / RECORD).read_text())
        os.utime(folder / RECORD)
        known = {field.name for field in fields(Standing)}
        standing = Standing(**{name: value for name, value in record["standing"].items() if name in known})
        return cls(folder, Order.parse(record["order"]), standing, cache)

    def new_sheet(self) -> PreviewSheet:
        """For the attempt that begins."""
        name = f"{self.order.key[:8]}-{self.at.attempt}.png"
        self.sheet = PreviewSheet(previews_folder(self.folder.parent) / name)
        return self.sheet

    def save(self) -> None:
        """Makes the disk remember how it stands. Blocks."""
        # Of two threads the later one must not write what the earlier one has seen.
        with self._saving:
            record = {"order": self.order.fields, "standing": vars(self.at)}
            write_whole(self.folder / RECORD, (json.dumps(record).encode(),), durable=False)

    @property
    def frames(self) -> range | None:
        """Numbers of all frames; None while that is not known."""
        if self.order.frames is not None:
            return self.order.frames
        return None if self.at.first is None or self.at.last is None else range(self.at.first, self.at.last + 1)

    @property
    def first_index(self) -> int:
        """Number of the frame that is the server's frame 0."""
        return self.order.frames.start if self.order.source is None and self.order.frames is not None else 0

    @property
    def missing(self) -> list[int]:
        """Frames that are still to be handed over."""
        if not self.order.images or self.at.made:
            return []
        return [number for number in self.frames or () if number not in self.puts.present]

    @property
    def ready(self) -> bool:
        """Something can be done for it without the plugin."""
        if self.at.phase == "collecting":
            return self.frames is None or not self.missing
        return self.at.phase in ("queued", "running")

    def name_of(self, number: int) -> str:
        """The name in the cache of an edited frame."""
        return f"{self.at.made[:48]}-{number}"

    def has(self, number: int) -> bool:
        """An edited frame is there."""
        return bool(self.at.made) and self.name_of(number) in self._cache

    @property
    def lacking(self) -> list[int]:
        """Edited frames that are not there."""
        return [number for number in self.frames or () if not self.has(number)]

    def everything(self) -> str:
        """The name of all that the edited frames are made from."""
        puts = (self.puts.by_number[number] for number in self.frames or () if self.order.images)
        parts = (("frame", f"{put.key} {int(put.premultiplied)}") for put in puts)
        return hashed("mive-made 1", (("edit", self.order.key), ("facts", self.at.facts), *parts))

    @property
    def key(self) -> str:
        """The idempotency key of its job: the same attempt at the same pixels is the same job."""
        return f"{self.order.key}-{self.at.made[:16]}-{self.at.attempt}"

    @property
    def parcel(self) -> Path:
        """The folder of what goes to the server."""
        return self.folder / f"sent-{self.at.made[:16]}"

    def mask(self, number: int) -> Path:
        """The file of a frame's mask."""
        return self.folder / "masks" / f"{self.at.made[:16]}-{number}"

    def forget(self) -> None:
        """What it is made from is not what it was: nothing that was made is shown any more."""
        self.at.phase, self.at.made, self.at.job, self.at.text = "collecting", "", "", ""
        self.at.by_upload = self.at.changed = False
        self.eta = None

    def remove_made(self) -> None:
        """Removes what was made from something else than now. Blocks."""
        for path in self.folder.glob("sent-*"):
            if not self.at.made or path != self.parcel:
                shutil.rmtree(path, ignore_errors=True)
        for path in (self.folder / "masks").iterdir():
            if not self.at.made or not path.name.startswith(self.at.made[:16]):
                path.unlink(missing_ok=True)

    def remove_parcel(self) -> None:
        """Removes what has been sent. Blocks."""
        shutil.rmtree(self.parcel, ignore_errors=True)
        self.puts.spend()

    def state(self, asked: int | None = None) -> dict[str, str]:
        """How it stands, as fields of an answer.

        Args:
            asked: the one frame that the answer is about.
        """
        phase = self.at.phase
        total = len(self.frames or ())
        missing = self.missing
        done = total - (len(missing) if phase == "collecting" else len(self.lacking))
        told: dict[str, str] = {"state": phase}
        if total:
            told |= {"done": str(done), "total": str(total)}
        if self.eta is not None and phase == "running":
            told["eta"] = str(max(round(self.eta), 0))
        running = phase == "running"
        if text := self.at.text or (running and ((self.sheet and self.sheet.line) or self.told)):
            told["text"] = plain(text, _MOST_TEXT)
        if phase == "collecting" and asked is None:
            told["missing"] = ",".join(_ranges(missing))
        elif phase == "collecting" and asked in missing:
            told["missing"] = str(asked)
        return told


def phase_of(folder: Path) -> str:
    """The phase of an edit on disk; empty where there is none. Blocks."""
    try:
        return str(json.loads((folder / RECORD).read_text())["standing"]["phase"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def remove_sent(folder: Path) -> None:
    """Removes what a bridge that was killed had no time to remove of an edit that was done. Blocks."""
    for path in folder.glob("sent-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob("puts/*"):
        with contextlib.suppress(OSError):
            path.unlink()


def _ranges(numbers: Iterable[int]) -> list[str]:
    """``["0-4", "7"]``, as many as a state may have."""
    from mive.request import FrameRange

    runs = islice(FrameRange.runs(numbers), _MOST_RANGES)
    return [str(run) if len(run) > 1 else str(run.first) for run in runs]
