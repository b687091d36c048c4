"""``mive-bridge --doctor``: everything between a host and edited frames, and how to mend what is broken."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mive import __version__
from mive.errors import MiveError
from mive.plugin.doctor import Check
from mive.plugin.places import places
from mive_bridge.files import size_of
from mive_bridge.logs import log_path
from mive_bridge.messages import HEAD, MOST_BYTES, Malformed, Message, decode, encode
from mive_bridge.place import check_folder, is_own_user, socket_path
from mive_bridge.servers import PROGRAM
from mive_bridge.settings import Settings, cache_folder, settings_path
from mive_bridge.talk import PROTOCOL

_LONGEST_SOCKET: Final = 107
"""Bytes of a Unix socket's path."""

_SECONDS: Final = 3.0


def doctor() -> int:
    """Prints what was found; 1 where something is broken."""
    checks = tuple(examine())
    for check in checks:
        print(f"{check.name}: {check.found}")
    problems = [check for check in checks if check.fix]
    for check in problems:
        print(f"Problem: {check.found}. {check.fix}.")
    if not problems:
        print("Everything is there.")
    return 1 if problems else 0


def examine() -> Iterator[Check]:
    """Looks at everything; takes some seconds where a server does not answer."""
    try:
        settings = Settings.load()
        known = "" if settings_path().is_file() else ", which is not there: all defaults"
        yield Check("settings", f"{settings_path()}{known}")
    except MiveError as error:
        settings = Settings()
        yield Check("settings", error.what, error.fix)
    path = socket_path().absolute()
    yield _socket(path)
    yield _bridge(path)
    yield _server(settings)
    yield from _cache(cache_folder(), settings)
    yield _plugin()


def _socket(path: Path) -> Check:
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        return Check("socket", f"{path} is longer than the path of a socket may be", "Set MIVE_BRIDGE_SOCKET")
    try:
        check_folder(path.parent, make=False)
    except FileNotFoundError:
        return Check("socket", f"{path}, whose folder the first bridge makes")
    except MiveError as error:
        return Check("socket", error.what, error.fix)
    return Check("socket", str(path))


def _bridge(path: Path) -> Check:
    try:
        version = greeting(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return Check("bridge", "none is running; the plugin starts one")
    except (OSError, Malformed) as error:
        return Check("bridge", f"what listens at {path} is no bridge ({error})", "End it; the plugin starts a bridge")
    if version != __version__:
        return Check("bridge", f"{version} is running, and this is {__version__}", "End it; the plugin starts this one")
    return Check("bridge", f"{version} is running")


def greeting(path: Path) -> str:
    """The version of the bridge that listens there.

    Raises:
        OSError, Malformed: none does.
    """
    fields = {"id": "1", "protocol": str(PROTOCOL), "plugin": __version__, "host": "doctor", "pid": str(os.getpid())}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_SECONDS)
        connection.connect(str(path))
        if not is_own_user(connection):
            raise Malformed("it belongs to another user")
        connection.sendall(encode(Message("hello", fields)))
        (size,) = HEAD.unpack(connection.recv(HEAD.size, socket.MSG_WAITALL).ljust(HEAD.size, b"\xff"))
        if size > MOST_BYTES:
            raise Malformed("it says no greeting")
        answer = decode(connection.recv(size, socket.MSG_WAITALL))
    return answer.fields.get("bridge", "another version")


def _server(settings: Settings) -> Check:
    from mive.client import Address, Client, Unreachable

    try:
        address = Address.parse()
        with Client(patience=_SECONDS) as client:
            info = client.server_info()
    except Unreachable as error:
        if settings.start_server and not os.environ.get("MIVE_SERVER"):
            if shutil.which(PROGRAM) is None:
                return Check("server", f"{PROGRAM} cannot be started", 'pip install "mive[server]"')
            return Check("server", f"none at {address}; the bridge starts one when it is needed")
        fix = f"Start {PROGRAM}, set start_server = true in {settings_path()}, or name a server in the effect"
        return Check("server", error.what, fix)
    except MiveError as error:
        return Check("server", error.what, error.fix)
    says = f"{address} is {info.state}, with the bundle {info.bundle}"
    return Check("server", says, "See the server's log" if info.state == "failed" else "")


def _cache(folder: Path, settings: Settings) -> Iterator[Check]:
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield Check("cache", f"{folder} may not be written", "Set MIVE_CACHE to a folder that may be")
        return
    parts = {name: _size(folder / name) for name in ("frames", "edits")}
    free, limit = shutil.disk_usage(existing).free, settings.cache_bytes
    says = (
        f"{folder}: {_gigabytes(parts['frames'])} of at most {_gigabytes(limit)} in edited frames, "
        f"{_gigabytes(parts['edits'])} in sources on their way, {_gigabytes(free)} free"
    )
    full = free < limit - parts["frames"]
    yield Check("cache", says, f"Free some space, or lower cache_gigabytes in {settings_path()}" if full else "")
    yield Check("log", str(log_path(folder)))


def _plugin() -> Check:
    found = [place for place in places() if place.bundle.is_dir()]
    if not found:
        return Check("plugin", "it is in none of the folders where hosts look", "mive plugin install")
    if not any(place.searched for place in found):
        return Check("plugin", f"no host looks into {found[0].folder}", '"mive plugin doctor" says how to change that')
    return Check("plugin", ", ".join(str(place.bundle) for place in found))


def _size(folder: Path) -> int:
    return sum(size_of(Path(place, name)) for place, _, names in os.walk(folder) for name in names)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
