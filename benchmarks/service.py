"""What the service costs: an edit through it against the same edit in process, and its transports against a copy.

    python benchmarks/service.py [--table docs/measurements/service.md]

Everything is measured in one run, turn by turn, so that ratios hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Final, get_args

import numpy as np

from mive.base.jobs import Way
from mive.client import Client
from mive.edit import run_edit
from mive.editing.inversions import InversionCache
from mive.evaluate.toyworld import random_scene
from mive.evaluate.toyworld.clip import write_clip
from mive.media import ClipInfo, open_writer
from mive.media.raw import write_raw
from mive.request import EditRequest, FrameRange, Instance, Settings

FRAMES: Final = 8
ROUNDS: Final = 5
STEPS: Final = 2
SENDS: Final[tuple[Way, ...]] = get_args(Way)
HD: Final = (1080, 1920, 3)
HD_FRAMES: Final = 8
PROGRAM: Final = (sys.executable, "-c", "import sys; from mive.server.entry import main; sys.exit(main())")


@contextmanager
def served(data: Path) -> Iterator[Client]:
    """A client of a fresh server, once its model is loaded."""
    command = [*PROGRAM, "--data", str(data), "--listen", "127.0.0.1:0", "--shared-memory", "--log-level", "warning"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            with Client(process.stdout.readline().split()[-1]) as client:
                while client.server_info().state != "ready":
                    time.sleep(0.1)
                yield client
        finally:
            process.terminate()


def seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def overhead(client: Client, folder: Path) -> list[str]:
    """The same edits by ``run_edit`` and through the service, without the time that is the model's own.

    That time is told by each edit's manifest. It is by far the most of it, and varies by more than the service adds.
    """
    scene = random_scene(20_600_000, (192, 192), count=(2, 2))
    toy = write_clip(scene, folder, FRAMES)

    def request(number: int) -> EditRequest:
        # Another caption each time, since a server does not make the same edit twice.
        captions = (f"a red ball {number}", f"a blue cube {number}")
        return EditRequest(
            clip=str(toy.videos[0]),
            mattes=str(toy.mattes),
            instances=tuple(Instance(id=i, caption=caption) for i, caption in enumerate(captions, start=1)),
            settings=Settings(steps=STEPS, inversion_steps=STEPS),
        )

    def through(number: int, send: Way) -> float:
        started = time.perf_counter()
        job = client.submit(request(number), send=send)
        assert sum(1 for _ in client.fetch(job.job_id, wait=True)) == FRAMES
        elapsed = time.perf_counter() - started
        # Its frames are there a moment before the job is done.
        for _ in client.watch(job.job_id):
            pass
        return elapsed - model_time(client.manifest(job.job_id).seconds)

    def in_process(number: int) -> float:
        made = run_edit(request(number), folder / f"{number}.mkv", cache=cache)
        return made.seconds["total"] - made.seconds["load"] - model_time(made.seconds)

    # Both sides keep inversions, and both have this clip's when the clock starts.
    cache = InversionCache(folder / "inversions")
    in_process(0)
    through(0, "path")
    times: dict[str, list[float]] = {"in process": [], "path": [], "upload": [], "memory": []}
    for number in range(1, ROUNDS + 1):
        times["in process"].append(in_process(number))
        for turn, send in enumerate(SENDS):
            times[send].append(through(100 * number + turn, send))
    lines = [f"| {FRAMES} frames of 192 × 192 | ms a frame beside the model | more than in process |", "|---|---|---|"]
    base = statistics.median(times["in process"])
    for name, taken in times.items():
        median = statistics.median(taken)
        lines.append(f"| {name} | {1000 * median / FRAMES:.0f} | {1000 * (median - base) / FRAMES:+.0f} |")
        print(lines[-1], flush=True)
    return lines


def model_time(stages: Mapping[str, float]) -> float:
    """Seconds that an edit spent on depth, inversion and sampling."""
    return sum(stages.get(name, 0.0) for name in ("conditions", "inversion", "sampling"))


def transport(client: Client, folder: Path) -> list[str]:
    """GB/s of 1080p float frames each way, and of a copy in memory."""
    rng = np.random.default_rng(0)
    frames = [rng.random(HD, np.float32) for _ in range(HD_FRAMES)]
    info = ClipInfo(
        path=folder / "hd", width=HD[1], height=HD[0], frames=HD_FRAMES, rate=Fraction(24), depth="f32", bits=32
    )
    (folder / "hd").mkdir()
    write_raw(folder / "hd", info, iter(frames))
    matte_info = ClipInfo(path=folder / "mattes", width=HD[1], height=HD[0], frames=HD_FRAMES, rate=Fraction(24))
    with open_writer(folder / "mattes", matte_info, FrameRange(0, HD_FRAMES - 1)) as mattes:
        for _ in range(HD_FRAMES):
            ids = np.zeros(HD, np.uint8)
            ids[300:800, 600:1200] = 1
            mattes.write(ids)
    request = EditRequest(
        clip=str(folder / "hd"),
        mattes=str(folder / "mattes"),
        instances=(Instance(id=1, caption="a red ball"),),
        settings=Settings(preset="draft", steps=1, inversion_steps=1),
    )
    job = client.submit(request, send="path").job_id
    list(client.watch(job))
    total = sum(frame.nbytes for frame in frames)
    target = np.empty(HD, np.float32)

    def copy() -> None:
        for frame in frames:
            np.copyto(target, frame)

    def upload() -> None:
        for frame in frames:
            # New bytes every time: what the server has already is not sent again.
            frame[0, 0] = rng.random(3)
            client.upload(frame.tobytes())

    def fetch(into_memory: bool) -> None:
        for _, frame in client.fetch(job, into_memory=into_memory):
            assert frame.shape == HD

    acts: dict[str, Callable[[], None]] = {
        "copy in memory": copy,
        "upload (hashed twice, kept on disk)": upload,
        "fetch as bytes": lambda: fetch(False),
        "fetch through shared memory": lambda: fetch(True),
    }
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(ROUNDS):
        for name, act in acts.items():
            times[name].append(seconds(act))
    lines = ["| 1080p float frames | GB/s | ms a frame | of a copy |", "|---|---|---|---|"]
    base = statistics.median(times["copy in memory"])
    for name, taken in times.items():
        median = statistics.median(taken)
        speed = total / median / 1e9
        lines.append(f"| {name} | {speed:.2f} | {1000 * median / HD_FRAMES:.0f} | {base / median:.2f} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Run both and print the tables."""
    parser = argparse.ArgumentParser(description="What the service costs.")
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, served(Path(place) / "data") as client:
        folder = Path(place) / "clips"
        folder.mkdir()
        tables = [transport(client, folder), overhead(client, folder)]
    if options.table:
        text = "\n\n".join("\n".join(lines) for lines in tables)
        options.table.write_text(f"# What the service costs\n\n    python benchmarks/service.py\n\n{text}\n")


if __name__ == "__main__":
    main()
