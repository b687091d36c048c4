"""``mive-bridge --doctor``: everything between a host and edited frames, and how to mend what is broken."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mive import __version__
from mive.base.places import socket_path
from mive.errors import MiveError
from mive.install.doctor import Check
from mive.install.places import places
from mive_bridge.asking import Asking
from mive_bridge.files import size_of
from mive_bridge.logs import log_path
from mive_bridge.messages import Malformed
from mive_bridge.place import check_folder, check_socket, is_own_user, listening_process
from mive_bridge.servers import PROGRAM, tls_for
from mive_bridge.settings import Settings, cache_folder, settings_path

_LONGEST_SOCKET: Final = 107
"""Bytes of a Unix socket's path."""

_SECONDS: Final = 3.0
_PROBE: Final = 1 << 20
"""Bytes that are written to see whether it can be done."""


def doctor() -> int:
    """Prints what was found, what is broken last; 1 where something is."""
    checks = tuple(examine())
    problems = [check for check in checks if check.fix]
    for check in checks:
        if not check.fix:
            print(f"{check.name}: {check.found}")
    for check in problems:
        print(f"Problem: {check.found}. {check.fix}.")
    if not problems:
        print("Everything is there.")
    return 1 if problems else 0


def examine() -> Iterator[Check]:
    """Looks at everything; takes some seconds where a server does not answer."""
    try:
        settings = Settings.load()
        there = settings_path().is_file()
        yield Check("settings", str(settings_path()) if there else f"the defaults; there is no {settings_path()}")
    except MiveError as error:
        settings = Settings()
        yield Check("settings", error.what, error.fix)
    path = socket_path().absolute()
    place = _socket(path)
    yield place
    if not place.fix:
        yield _bridge(path)
    yield _server(settings)
    yield from _cache(cache_folder(), settings)
    yield _plugin()


def _socket(path: Path) -> Check:
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        fix = "Set MIVE_BRIDGE_SOCKET to a shorter path, for the host and the bridge"
        return Check("socket", f"{path} is longer than the path of a socket may be", fix)
    try:
        check_folder(path.parent, make=False)
        check_socket(path)
    except FileNotFoundError:
        return Check("socket", f"{path}, whose folder the first bridge makes")
    except OSError as error:
        return Check("socket", f"{path} cannot be used: {error.strerror}", "Set MIVE_BRIDGE_SOCKET to another path")
    except MiveError as error:
        return Check("socket", error.what, error.fix)
    return Check("socket", str(path))


def _bridge(path: Path) -> Check:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_SECONDS)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return Check("bridge", "none is running; the plugin starts one")
        except OSError as error:
            return Check("bridge", f"nobody can connect to {path}: {error}", f"rm {path}; the plugin starts a bridge")
        process = listening_process(connection)
        fix = f"kill {process}; the plugin starts another"
        if not is_own_user(connection):
            return Check("bridge", f"process {process} of another user listens at {path}", "Set MIVE_BRIDGE_SOCKET")
        try:
            version = Asking(connection, "doctor").version
        except TimeoutError:
            return Check("bridge", f"the bridge, process {process}, hangs", fix.replace("kill", "kill -9"))
        except (OSError, Malformed):
            return Check("bridge", f"what listens at {path} is no bridge", fix)
    if version != __version__:
        return Check("bridge", f"process {process} is a bridge {version}, and this is {__version__}", fix)
    return Check("bridge", f"{version} is running, process {process}")


def _server(settings: Settings) -> Check:
    from mive.client import Address, Client, Unreachable

    try:
        address = Address.parse()
        with Client(tls=tls_for(settings, ""), patience=_SECONDS) as client:
            info = client.server_info()
    except Unreachable as error:
        if os.environ.get("MIVE_SERVER"):
            return Check("server", error.what, "Start it there, correct MIVE_SERVER, or name a server in the effect")
        if not settings.start_server:
            fix = f"Start {PROGRAM}, set start_server = true in {settings_path()}, or name a server in the effect"
            return Check("server", error.what, fix)
        if shutil.which(PROGRAM) is None:
            return Check("server", f"the bridge cannot start {PROGRAM}: it is missing", 'pip install "mive[server]"')
        return Check("server", f"none at {address}; the bridge starts one when it is needed")
    except MiveError as error:
        return Check("server", error.what, error.fix)
    says = f"{address} is {info.state}, with the bundle {info.bundle}"
    return Check("server", says, "See the server's log" if info.state == "failed" else "")


def _cache(folder: Path, settings: Settings) -> Iterator[Check]:
    frames, edits = folder / "frames", folder / "edits"
    for part in (frames, edits):
        existing = next(place for place in (part, *part.parents) if place.exists())
        try:
            with tempfile.TemporaryFile(dir=existing) as file:
                file.write(bytes(_PROBE))
        except OSError as error:
            found = f"{existing} cannot be written to: {error.strerror}"
            yield Check("cache", found, "Mend that, or set MIVE_CACHE to another folder")
            return
    there, limit = _size(frames), settings.cache_bytes
    free = shutil.disk_usage(existing).free
    says = (
        f"{folder}: {_gigabytes(there)} of at most {_gigabytes(limit)} in edited frames, "
        f"{_gigabytes(_size(edits))} in sources, {_gigabytes(free)} free"
    )
    yield Check("cache", says)
    if free < limit - there:
        found = f"edited frames may take {_gigabytes(limit - there)} more in {folder}, and {_gigabytes(free)} are free"
        yield Check("room", found, f"Free some space, or lower cache_gigabytes in {settings_path()}")
    yield Check("log", str(log_path(folder)))


def _plugin() -> Check:
    found = [place for place in places() if place.bundle.is_dir()]
    if not found:
        return Check("plugin", "the effect is in none of the folders where hosts look", "mive plugin install")
    if not any(place.searched for place in found):
        return Check("plugin", f"no host looks into {found[0].folder}", '"mive plugin doctor" says how to change that')
    return Check("plugin", ", ".join(str(place.bundle) for place in found))


def _size(folder: Path) -> int:
    return sum(size_of(Path(place, name)) for place, _, names in os.walk(folder) for name in names)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
