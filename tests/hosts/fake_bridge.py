"""A bridge without a server: it keeps to plugin_bridge/LINK.md, and breaks it where a test says so.

As a program (``python fake_bridge.py --detach``) it is what the plugin starts by itself.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tests.hosts import link
from tests.hosts.link import Message, Pixels

Picture = Callable[[int, tuple[int, ...], np.dtype[Any]], Pixels]
"""``picture(frame, shape, dtype)``: the edited frame ``[H, W, 4]`` whose alpha is 0 where the source stays."""

Twist = Callable[[Message, Message | None], Message | bytes | None]
"""``twist(request, answer)``: what is said instead; raw bytes as they are, None for not a word."""


@dataclass
class Put:
    """The images of one frame as they were handed over."""

    images: dict[str, Pixels]
    fingerprints: dict[str, str]
    prints: dict[str, str]
    premultiplied: bool


@dataclass
class Edit:
    """One edit and how it stands."""

    fields: dict[str, str]
    state: str
    server: str
    token: str
    puts: dict[int, Put] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    changed: bool = False

    @property
    def wants_images(self) -> bool:
        return self.fields["source"] == "clip" or self.fields["mattes"].startswith("clip")

    @property
    def frames(self) -> range:
        if self.fields["frames"] == "all":
            return range(0)
        first, last = map(int, self.fields["frames"].split("-"))
        return range(first, last + 1)

    @property
    def missing(self) -> list[int]:
        return [frame for frame in self.frames if frame not in self.puts] if self.wants_images else []


def noise(frame: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Pixels:
    """Random colours, a third of them edited; the same for the same frame, shape and type."""
    rng = np.random.default_rng(frame)
    edited = np.append(rng.integers(0, 256, (*shape[:2], 3)), rng.integers(0, 3, (*shape[:2], 1)) // 2, axis=2)
    if dtype == np.float32:
        return (edited / 255).astype(np.float32)
    return (edited * (257 if dtype == np.uint16 else 1)).astype(dtype)


class FakeBridge:
    """Listens while it is open (``with FakeBridge(path) as bridge``).

    Attributes:
        after_frames: the state of an edit as soon as nothing is missing.
        picture: what edits look like.
        twist: how answers are bent; sees every request and the right answer to it.
        edits: by their keys.
        requests: the types of all requests, in order.
        connections: how many there were.
    """

    def __init__(self, path: Path, picture: Picture = noise, after_frames: str = "done") -> None:
        self.path = path
        self.picture = picture
        self.after_frames = after_frames
        self.twist: Twist = lambda request, answer: answer
        self.edits: dict[str, Edit] = {}
        self.requests: list[str] = []
        self.hosts: list[str] = []
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> FakeBridge:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Dies: nobody listens any more, and all conversations end."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def wait(self) -> None:
        """Until it is closed; never, for a program."""
        threading.Event().wait()

    @property
    def edit(self) -> Edit:
        """The only edit."""
        (edit,) = self.edits.values()
        return edit

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        conversation = _Conversation(self)
        with connection, contextlib.suppress(OSError, EOFError):
            while (got := link.read_message(connection)) is not None:
                request, descriptors = got
                self.requests.append(request.type)
                with self._lock:
                    answer: Message | bytes | None = conversation.answer(request, descriptors)
                assert isinstance(answer, Message)
                answer.fields = {"id": request.fields["id"], **answer.fields}
                answer = self.twist(request, answer)
                if isinstance(answer, Message):
                    answer = answer.encode()
                if answer is not None:
                    connection.sendall(answer)
        conversation.close()
        with self._lock:
            self._open.discard(connection)


class _Conversation:
    """One connection and its region."""

    def __init__(self, bridge: FakeBridge) -> None:
        self.bridge = bridge
        self.region: mmap.mmap | None = None

    def close(self) -> None:
        if self.region is not None:
            self.region.close()

    def answer(self, request: Message, descriptors: list[int]) -> Message:
        try:
            return getattr(self, f"_{request.type}")(request.fields, descriptors)
        except AssertionError as error:
            return Message("error", {"text": str(error)})

    def _hello(self, fields: dict[str, str], _: list[int]) -> Message:
        assert fields["protocol"] == "1", "Update the plugin."
        self.bridge.hosts.append(fields["host"])
        return Message("welcome", {"protocol": "1", "bridge": "fake"})

    def _region(self, fields: dict[str, str], descriptors: list[int]) -> Message:
        (descriptor,) = descriptors
        size = os.fstat(descriptor).st_size
        assert size == int(fields["bytes"]) <= 2 << 30, "The region has another size."
        if self.region is not None:
            self.region.close()
        self.region = mmap.mmap(descriptor, size)
        os.close(descriptor)
        return Message("ok")

    def _order(self, fields: dict[str, str], _: list[int]) -> Message:
        assert set(fields) == {"id", "edit", *link.EDIT_FIELDS, "server", "token", "again"}, "Unknown fields."
        assert link.edit_key(fields) == fields["edit"], "The edit's name is wrong."
        words = {name: fields[name] for name in link.EDIT_FIELDS}
        edit = self.bridge.edits.get(fields["edit"])
        over = edit is not None and (edit.changed or edit.state in ("failed", "cancelled"))
        if edit is None or (over and fields["again"] == "1"):
            edit = Edit(words, "collecting", fields["server"], fields["token"])
            self.bridge.edits[fields["edit"]] = edit
        return self._settled(edit)

    def _put(self, fields: dict[str, str], _: list[int]) -> Message:
        edit = self.bridge.edits[fields["edit"]]
        names = [name for name in ("source", "mattes", "mattes2") if name in fields]
        at, images = link.PAGE, {}
        for name in names:
            shape, dtype = link.parse_format(fields[name])
            size = int(np.prod(shape)) * dtype.itemsize
            assert self.region is not None
            images[name] = np.frombuffer(self.region[at : at + size], dtype).reshape(shape)
            assert link.fingerprint(images[name]) == fields[name], f"The fingerprint of {name} is wrong."
            assert link.thumbprint(images[name]) == fields[f"{name}_print"], f"The print of {name} is wrong."
            at += -(-size // link.PAGE) * link.PAGE
        edit.puts[int(fields["frame"])] = Put(
            images,
            {name: fields[name] for name in names},
            {name: fields[f"{name}_print"] for name in names},
            fields["premultiplied"] == "1",
        )
        edit.keys.add(link.frame_key(fields["edit"], int(fields["frame"]), fields))
        return self._settled(edit)

    def _frame(self, fields: dict[str, str], _: list[int]) -> Message:
        number = int(fields["frame"])
        assert link.frame_key(fields["edit"], number, fields) == fields["key"], "The frame's name is wrong."
        edit = self.bridge.edits.get(fields["edit"])
        if edit is None:
            return Message("miss", {"state": "unknown"})
        if edit.state != "done":
            told = self._settled(edit).fields
            return Message("miss", {**told, "missing": str(number) if number in edit.missing else ""})
        if edit.wants_images and fields["key"] not in edit.keys and not _alike(edit.puts[number], fields):
            edit.changed = True
            return Message("miss", {"state": "changed"})
        shape, dtype = link.parse_format(fields["wanted"])
        data = self.bridge.picture(number, shape, dtype).tobytes()
        assert self.region is not None
        self.region[link.PAGE : link.PAGE + len(data)] = data
        stamp = struct.pack("<8sQ32sQ", b"MIVEDONE", int(fields["id"]), bytes.fromhex(fields["key"]), len(data))
        self.region[: len(stamp)] = stamp
        return Message("hit", {"key": fields["key"]})

    def _status(self, fields: dict[str, str], _: list[int]) -> Message:
        edit = self.bridge.edits.get(fields["edit"])
        return self._settled(edit) if edit else Message("state", {"state": "unknown"})

    def _cancel(self, fields: dict[str, str], _: list[int]) -> Message:
        edit = self.bridge.edits.get(fields["edit"])
        if edit:
            edit.state = "cancelled"
        return Message("state", {"state": "cancelled" if edit else "unknown"})

    def _settled(self, edit: Edit) -> Message:
        if edit.state == "collecting" and not edit.missing:
            edit.state = self.bridge.after_frames
        total = len(edit.frames)
        done = total if edit.state == "done" else len(edit.puts) if edit.state == "collecting" else 0
        counts = {"done": str(done), "total": str(total)}
        if edit.state != "collecting":
            return Message("state", {"state": edit.state, **counts})
        return Message("state", {"state": edit.state, **counts, "missing": ",".join(_ranges(edit.missing))})


def _alike(put: Put, fields: dict[str, str]) -> bool:
    """Whether the plugin's images are those that were put, at another size or depth."""
    for name, known in put.fingerprints.items():
        same_format = known.rsplit(":", 1)[0] == fields[name].rsplit(":", 1)[0]
        if known == fields[name]:
            continue
        ours, theirs = bytes.fromhex(put.prints[name]), bytes.fromhex(fields[f"{name}_print"])
        if same_format or len(ours) != len(theirs):
            return False
        if max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) > 6:
            return False
    return True


def _ranges(frames: list[int]) -> Iterator[str]:
    """At most 64 of them."""
    starts = [frame for frame in frames if frame - 1 not in frames]
    ends = [frame for frame in frames if frame + 1 not in frames]
    for first, last in list(zip(starts, ends, strict=True))[:64]:
        yield f"{first}-{last}" if last > first else str(first)


def main() -> None:
    """What `mive-bridge --detach` does: leaves a child behind that listens, and exits."""
    bridge = FakeBridge(Path(os.environ["MIVE_BRIDGE_SOCKET"]))
    if sys.argv[1:] == ["--detach"]:
        reading, writing = os.pipe()
        if os.fork():
            os.close(writing)
            sys.exit(0 if os.read(reading, 1) else 1)
        os.setsid()
        with bridge:
            Path(f"{bridge.path}.pid").write_text(str(os.getpid()))
            os.write(writing, b".")
            bridge.wait()
    with bridge:
        bridge.wait()


if __name__ == "__main__":
    main()
