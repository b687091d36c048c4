"""What a cached frame costs from the bridge to a host's image, against a copy of as much memory.

    python -m benchmarks.bridge [--table docs/measurements/bridge.md]

A bridge runs in a process of its own, with a frame in its cache and in the memory of the system; the effect runs in the
host of tests/hosts, whose own time does not count. Everything is measured in one run, turn by turn, so that ratios hold
on a busy machine too. A host that plays 24 frames a second has 41 ms for each.
"""

from __future__ import annotations

import argparse
import fcntl
import mmap
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from tests.hosts.ofx_host import FILTER, Host, Traits

from mive.install.sources import find_bundle
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


class Effect:
    """The effect on a clip of one frame, in a host whose own work is not counted."""

    def __init__(self, library: Path, source: Image) -> None:
        self._host = Host(library, Traits(temporal_access=True, clip_range=(0.0, 0.0)))
        self._in_host = 0.0
        suite: Any = self._host._providers["OfxImageEffectSuite"]
        for name in ("clipGetImage", "clipReleaseImage"):
            setattr(suite, name, self._counted(getattr(suite, name)))
        values = {"captions": EDIT["captions"], "frameRange": EDIT["frames"], "preset": 0, "seed": 0}
        self._effect = self._host.create(FILTER, {"Source": lambda time: source}, values)
        self._act, self._took = self._host.act, 0.0
        self._host.act = self._timed  # type: ignore[method-assign, assignment]

    def close(self) -> None:
        self._effect.destroy()
        self._host.unload()

    def render(self) -> float:
        """Seconds from the host's call to the finished picture."""
        shown = self._effect.render(0)
        assert shown.message == "", shown.message
        return self._took

    def _timed(self, action: str, *arguments: Any) -> int:
        before, begun = self._in_host, time.perf_counter()
        status = self._act(action, *arguments)
        self._took = time.perf_counter() - begun - (self._in_host - before)
        return status

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            begun = time.perf_counter()
            try:
                return call(*arguments)
            finally:
                self._in_host += time.perf_counter() - begun

        return counted


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


def measure(name: str, share: float, library: Path, folder: Path) -> str:
    """A line of the table."""
    height, width = SIZES[name]
    source = np.random.default_rng(0).random((height, width, 4), np.float32)
    path = folder / "run" / "b.sock"
    asked = cached(folder / "cache" / "bridge", path, source, share)
    os.environ |= {"MIVE_BRIDGE_SOCKET": str(path), "MIVE_CACHE": str(folder / "cache")}
    # A copy has connections of its own.
    effect = Effect(Path(shutil.copy(library, folder / "MIVE.ofx")), source)
    with subprocess.Popen([sys.executable, "-m", "mive_bridge.cli"]) as bridge:
        try:
            plugin = Plugin(path, PAGE + source.nbytes)
            target, images = np.empty_like(source), np.frombuffer(plugin.memory, np.float32, source.size, PAGE)
            other = Order.parse({**EDIT, "frames": "0-999", "seed": "1"})
            plugin.ask("order", {"edit": other.key, **other.fields, "server": "", "token": "", "again": "0"})
            put = {"edit": other.key, "premultiplied": "0"} | {name: asked[name] for name in ("source", "source_print")}
            taken: dict[str, list[float]] = {"render": [], "hit": [], "copy": [], "put": []}
            for number in range(ROUNDS):
                taken["render"].append(effect.render())
                taken["hit"].append(seconds(lambda: plugin.ask("frame", asked)))
                taken["copy"].append(seconds(lambda: np.copyto(target.reshape(-1), images)))
                images[:] = source.reshape(-1)
                taken["put"].append(seconds(partial(plugin.ask, "put", {**put, "frame": str(number)})))
            assert plugin.ask("frame", asked).type == "hit"
            effect.close()
        finally:
            bridge.terminate()
    render, hit, copied, put_in = (1000 * statistics.median(times) for times in taken.values())
    whole = "all" if share == 1 else f"{share**2:.0%}"
    answer = f"{render:.0f} ms | {render / copied:.1f} | {hit:.1f} ms | {hit / copied:.1f}"
    return f"| {name} float, {whole} edited | {copied:.1f} ms | {answer} | {put_in:.0f} ms |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", type=Path, help="a Markdown file whose table is replaced")
    chosen = parser.parse_args()
    library = find_bundle(print) / "Contents" / "Linux-x86-64" / "MIVE.ofx"
    lines = [
        "| RGBA frame | copy of as much memory | cached frame into the host's image | in copies"
        " | of that, the bridge's answer | in copies | a frame handed over |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in SIZES:
        for share in (0.5, 1.0):
            with tempfile.TemporaryDirectory() as folder:
                lines.append(measure(name, share, library, Path(folder)))
            print(lines[-1], flush=True)
    text = "\n".join(lines)
    if chosen.table is not None:
        before, _, rest = chosen.table.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        chosen.table.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
