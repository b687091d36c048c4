"""What a frame costs between bridge and plugin: the answers to `frame` and `put`, against a copy of as much memory.

    python benchmarks/bridge.py [--table docs/bridge.md]

A bridge runs in a process of its own, with a frame in its cache; everything is measured in one run, turn by turn, so
that ratios hold on a busy machine too. A plugin that paces itself at 24 frames a second has 41 ms for each.
"""

from __future__ import annotations

import argparse
import fcntl
import mmap
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from mive_bridge.bridge import edits_folder
from mive_bridge.edit import Edit, Standing
from mive_bridge.frames import FrameCache
from mive_bridge.images import PAGE, Format, Image, Seen, format_of
from mive_bridge.messages import HEAD, Message, decode, encode
from mive_bridge.names import fingerprint, frame_key
from mive_bridge.orders import Order
from mive_bridge.prints import thumbprint

ROUNDS: Final = 15
SIZES: Final = {"1080p": (1080, 1920), "UHD": (2160, 3840)}
BEGIN, END = "<!-- benchmarks/bridge.py -->", "<!-- end -->"
EDIT: Final = {
    "captions": "1: a red ball", "source": "clip", "mattes": "alpha", "frames": "0-0",
    "preset": "draft", "seed": "0", "strength": "1.000",
}  # fmt: skip


class Plugin:
    """One connection, and its memory."""

    def __init__(self, path: Path, size: int) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self._socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.05)
        self._count = 0
        self.ask("hello", {"protocol": "1", "plugin": "benchmark", "host": "benchmark", "pid": str(os.getpid())})
        descriptor = os.memfd_create("benchmark", os.MFD_ALLOW_SEALING)
        os.posix_fallocate(descriptor, 0, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self.memory = mmap.mmap(descriptor, size)
        self.ask("region", {"bytes": str(size)}, descriptor)

    def ask(self, kind: str, fields: Mapping[str, str], *descriptors: int) -> Message:
        self._count += 1
        data = encode(Message(kind, {"id": str(self._count), **fields}))
        socket.send_fds(self._socket, [data], descriptors)
        (size,) = HEAD.unpack(self._socket.recv(HEAD.size, socket.MSG_WAITALL))
        answer = decode(self._socket.recv(size, socket.MSG_WAITALL))
        assert answer.type != "error", answer
        return answer


def seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def cached(folder: Path, path: Path, source: Image, share: float) -> dict[str, str]:
    """Leaves an edit that is done where a bridge finds it, and returns what asks for its frame.

    Args:
        share: of the frame's height and width that is edited.
    """
    height, width = source.shape[:2]
    order = Order.parse(EDIT)
    cache = FrameCache(folder / "frames", 10**11)
    place = edits_folder(folder, path) / order.key
    place.mkdir(parents=True, exist_ok=True)
    edit = Edit(place, order, Standing(phase="done"), cache)
    seen = Seen.parse(fingerprint(source), thumbprint(source))
    put = edit.puts.describe(0, {"source": seen}, False)
    edit.puts.write(put, {"source": source})
    edit.puts.note(put)
    edit.at.made = edit.everything()
    edit.save()
    mask = np.zeros((height, width), bool)
    mask[: round(height * share), : round(width * share)] = True
    form = Format(width, height, "rgba", format_of(source).depth)
    cache.save(edit.name_of(0), source[..., :3], mask, form, seen.thumbprint)
    fields = {"source": seen.fingerprint, "source_print": seen.thumbprint}
    asked = {"key": frame_key(order.key, 0, fields), "edit": order.key, "frame": "0", **fields}
    return {**asked, "wanted": str(form), "look": seen.thumbprint}


def measure(name: str, share: float, folder: Path) -> str:
    """A line of the table."""
    height, width = SIZES[name]
    source = np.random.default_rng(0).random((height, width, 4), np.float32)
    path = folder / "run" / "b.sock"
    asked = cached(folder / "cache" / "bridge", path, source, share)
    environment = {**os.environ, "MIVE_BRIDGE_SOCKET": str(path), "MIVE_CACHE": str(folder / "cache")}
    with subprocess.Popen([sys.executable, "-m", "mive_bridge.cli"], env=environment) as bridge:
        try:
            plugin = Plugin(path, PAGE + source.nbytes)
            target, images = np.empty_like(source), np.frombuffer(plugin.memory, np.float32, source.size, PAGE)
            other = Order.parse({**EDIT, "frames": "0-999", "seed": "1"})
            plugin.ask("order", {"edit": other.key, **other.fields, "server": "", "token": "", "again": "0"})
            put = {"edit": other.key, "premultiplied": "0"} | {name: asked[name] for name in ("source", "source_print")}
            taken: dict[str, list[float]] = {"hit": [], "copy": [], "put": []}
            for number in range(ROUNDS):
                taken["hit"].append(seconds(lambda: plugin.ask("frame", asked)))
                taken["copy"].append(seconds(lambda: np.copyto(target.reshape(-1), images)))
                images[:] = source.reshape(-1)
                taken["put"].append(seconds(partial(plugin.ask, "put", {**put, "frame": str(number)})))
            assert plugin.ask("frame", asked).type == "hit"
        finally:
            bridge.terminate()
    hit, copy, took = (1000 * statistics.median(taken[kind]) for kind in ("hit", "copy", "put"))
    whole = "all" if share == 1 else f"{share**2:.0%}"
    return f"| {name} float, {whole} edited | {hit:.1f} ms | {copy:.1f} ms | {hit / copy:.1f} | {took:.0f} ms |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", type=Path, help="a Markdown file whose table is replaced")
    chosen = parser.parse_args()
    lines = [
        "| RGBA frame | cached frame into the region | copy of as much memory | ratio | a frame handed over |",
        "|---|---|---|---|---|",
    ]
    for name in SIZES:
        for share in (0.5, 1.0):
            with tempfile.TemporaryDirectory() as folder:
                lines.append(measure(name, share, Path(folder)))
            print(lines[-1], flush=True)
    text = "\n".join(lines)
    if chosen.table is not None:
        before, _, rest = chosen.table.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        chosen.table.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
