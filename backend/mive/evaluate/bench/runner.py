"""Runs methods over the clips of a suite and keeps each result as it comes."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mive.base.progress import Report
from mive.errors import BundleError, Cancelled, MiveError, OutputError
from mive.evaluate.bench.makers import Maker
from mive.evaluate.bench.results import Result, RunFolder
from mive.evaluate.bench.suite import SuiteClip
from mive.evaluate.metrics.files import Ideal, score_files
from mive.evaluate.metrics.round_trip import RoundTrip
from mive.evaluate.metrics.vectors import Embedder
from mive.media import open_clip

PAUSE: Final = 2.0
"""Seconds before clips that other processes work on are looked at again."""


@dataclass(frozen=True)
class Told:
    """One result of a run.

    Attributes:
        result: of one clip by one method.
        done: how many there are now.
        total: how many there will be.
        fresh: it was made now and not found.
    """

    result: Result
    done: int
    total: int
    fresh: bool


Watch = Callable[[str], AbstractContextManager[Report]]
"""Given a method and a clip in words: a context around one edit, whose value is told how far it is."""


def run_suite(
    clips: Sequence[SuiteClip],
    makers: Sequence[Maker],
    folder: RunFolder,
    judge: Embedder,
    *,
    round_trip: RoundTrip | None = None,
    watch: Watch = lambda words: nullcontext(lambda progress: None),
    pause: float = PAUSE,
) -> Iterator[Told]:
    """Make and score what is missing, clip by clip, so that a clip is inverted once for all methods.

    It may be stopped at any time and run again, also by several processes at once: a clip is one process's at a
    time. What failed is kept with its error, does not stop the rest, and is tried again by the next run.

    Args:
        round_trip: through the VAE of the bundle that edits, for clips whose ideal edit is known.

    Yields:
        every result, those of other processes and earlier runs too.

    Raises:
        OutputError: results cannot be written.
        BundleError: the model or the judge cannot be used; that would fail every clip.
    """
    started = datetime.now(UTC)
    done, total = 0, len(clips) * len(makers)
    waiting = list(clips)
    while waiting:
        busy = []
        for clip in waiting:
            with folder.claim(clip.name) as mine:
                if not mine:
                    busy.append(clip)
                    continue
                ideal = None if clip.ideal is None else Ideal(clip.ideal, round_trip)
                for maker in makers:
                    kept = _kept(folder, maker, clip, started)
                    result = kept or _measured(folder, maker, clip, judge, ideal, watch)
                    done += 1
                    yield Told(result, done, total, kept is None)
        if len(busy) == len(waiting):
            time.sleep(pause)
        waiting = busy


def _kept(folder: RunFolder, maker: Maker, clip: SuiteClip, started: datetime) -> Result | None:
    """The result that need not be made again: a good one, or a failure since this run began."""
    result = folder.load(maker.name, clip)
    if result is None or result.made_by != maker.made_by:
        return None
    good = result.error is None and folder.video(maker.name, clip.name).exists()
    return result if good or (result.error is not None and result.finished > started) else None


def _measured(
    folder: RunFolder, maker: Maker, clip: SuiteClip, judge: Embedder, ideal: Ideal | None, watch: Watch
) -> Result:
    facts: dict[str, Any] = {
        "method": maker.name,
        "clip": clip.name,
        "digest": clip.digest,
        "made_by": maker.made_by,
    }
    try:
        facts |= _made_and_scored(folder, maker, clip, judge, ideal, watch)
    except (BundleError, Cancelled, OutputError):
        raise
    except MiveError as error:
        facts["error"] = error.to_dict()
    except Exception as error:
        what = MiveError(f"MIVE ran into an error of its own, {type(error).__name__}: {error}").to_dict()
        facts["error"] = {**what, "traceback": traceback.format_exc()}
    result = Result(**facts, finished=datetime.now(UTC))
    folder.keep(result)
    return result


def _made_and_scored(
    folder: RunFolder, maker: Maker, clip: SuiteClip, judge: Embedder, ideal: Ideal | None, watch: Watch
) -> dict[str, Any]:
    out = folder.video(maker.name, clip.name)
    out.parent.mkdir(parents=True, exist_ok=True)
    with watch(f"{clip.name} {maker.name}") as report:
        made = maker.make(clip, out.absolute(), report)
    scores = score_files(
        clip.source,
        out,
        str(clip.mattes),
        clip.instances,
        global_caption=clip.target_caption,
        global_source_caption=clip.source_caption,
        judge=judge,
        ideal=ideal,
    )
    info = open_clip(clip.source).info
    return {
        "width": info.width,
        "height": info.height,
        "scores": scores.to_dict(),
        "seconds": made.seconds,
        "fit": made.fit,
        "warnings": made.warnings,
    }
