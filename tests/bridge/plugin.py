"""A plugin that keeps to plugin_bridge/LINK.md, with the link of tests/hosts and no code of the bridge's."""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from tests.hosts import link
from tests.hosts.link import Message, Pixels

ROOT = Path(__file__).resolve().parents[2]
_SEEDS = itertools.count()
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def until(happened: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def edit_fields(**changes: object) -> dict[str, str]:
    """The fields of an edit of ten frames of a clip whose alpha is the matte; each is another edit."""
    usual = {
        "captions": "1: a red ball", "source": "clip", "mattes": "alpha", "frames": "0-9",
        "preset": "standard", "seed": str(next(_SEEDS)), "strength": "1.000",
    }  # fmt: skip
    return usual | {name: str(value) for name, value in changes.items()}


def memory(size: int, seals: int = SEALS) -> int:
    """A descriptor of sealed memory."""
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


class Plugin:
    """One connection, which said hello."""

    def __init__(self, path: Path, patience: float = 30) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(patience)
        try:
            self.socket.connect(str(path))
            self.count = 0
            self.memory: mmap.mmap | None = None
            assert self.ask("hello", protocol="1", plugin="test", host="test", pid=str(os.getpid())).type == "welcome"
        except BaseException:
            self.socket.close()
            raise

    def close(self) -> None:
        self.socket.close()

    def ask(self, kind: str, descriptor: int | None = None, /, **fields: str) -> Message:
        """The answer to a request."""
        self.count += 1
        data = Message(kind, {"id": str(self.count), **fields}).encode()
        sent = socket.send_fds(self.socket, [data], [] if descriptor is None else [descriptor])
        self.socket.sendall(data[sent:])
        got = link.read_message(self.socket)
        if got is None:
            raise EOFError
        answer, descriptors = got
        assert descriptors == []
        assert answer.fields.pop("id") == str(self.count)
        return answer

    def reserve(self, size: int) -> None:
        """Shares memory for so many bytes of images."""
        if self.memory is None or len(self.memory) < link.PAGE + size:
            descriptor = memory(link.PAGE + size)
            answer = self.ask("region", descriptor, bytes=str(link.PAGE + size))
            assert answer.type == "ok", answer
            self.memory = mmap.mmap(descriptor, link.PAGE + size)
            os.close(descriptor)

    def order(self, fields: Mapping[str, str], *, again: bool = False, server: str = "", token: str = "") -> Message:
        more = {"server": server, "token": token, "again": str(int(again))}
        return self.ask("order", **fields, edit=link.edit_key(dict(fields)), **more)

    def put(self, fields: Mapping[str, str], number: int, *, premultiplied: bool = False, **images: Pixels) -> Message:
        sizes = [-(-image.nbytes // link.PAGE) * link.PAGE for image in images.values()]
        self.reserve(sum(sizes))
        assert self.memory is not None
        at = link.PAGE
        for image, size in zip(images.values(), sizes, strict=True):
            self.memory[at : at + image.nbytes] = image.tobytes()
            at += size
        flag = str(int(premultiplied))
        edit = link.edit_key(dict(fields))
        return self.ask("put", edit=edit, frame=str(number), premultiplied=flag, **described(images))

    def frame(
        self, fields: Mapping[str, str], number: int, wanted: str = "", look: str = "", **images: Pixels
    ) -> Message | Pixels:
        """The edited frame, or the miss."""
        if not wanted:
            wanted = link.format_text(images["source"]).replace(":rgb:", ":rgba:")
        shape, dtype = link.parse_format(wanted)
        size = int(np.prod(shape)) * dtype.itemsize
        self.reserve(size)
        assert self.memory is not None
        self.memory[:56] = bytes(56)
        edit = link.edit_key(dict(fields))
        seen = described(images)
        key = link.frame_key(edit, number, seen)
        answer = self.ask("frame", key=key, edit=edit, frame=str(number), wanted=wanted, look=look, **seen)
        if answer.type != "hit":
            return answer
        assert answer.fields == {"key": key}
        stamp = struct.pack("<8sQ32sQ", b"MIVEDONE", self.count, bytes.fromhex(key), size)
        assert self.memory[:56] == stamp
        return np.frombuffer(self.memory[link.PAGE : link.PAGE + size], dtype).reshape(shape)

    def status(self, fields: Mapping[str, str]) -> dict[str, str]:
        return self.ask("status", edit=link.edit_key(dict(fields))).fields

    def cancel(self, fields: Mapping[str, str]) -> dict[str, str]:
        return self.ask("cancel", edit=link.edit_key(dict(fields))).fields

    def finish(self, fields: Mapping[str, str], seconds: float = 60) -> dict[str, str]:
        """The state in which an edit ends."""
        until(lambda: self.status(fields)["state"] in ("done", "failed", "cancelled"), seconds)
        return self.status(fields)


def described(images: Mapping[str, Pixels]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, image in images.items():
        fields |= {name: link.fingerprint(image), f"{name}_print": link.thumbprint(image)}
    return fields
