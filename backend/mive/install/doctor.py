"""What stands between a host and the plugin, found without a host. ``mive plugin doctor`` shows it."""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mive import __version__
from mive.base.places import socket_path
from mive.errors import MiveError
from mive.install.owned import read_record
from mive.install.places import VARIABLE, Place, export_line, places, program, scripts_folder, support_folder
from mive.install.plugin import BRIDGE, SCRIPT

_REINSTALL: Final = "mive plugin install"
_EXPORTS: Final = ("OfxGetNumberOfPlugins", "OfxGetPlugin", "OfxSetHost")
_LONGEST_SOCKET: Final = 107
"""Bytes of a Unix socket's path (sun_path, less the 0 at its end)."""

# In a process of its own: what a broken library does to the one that loads it.
_LOAD: Final = """
import ctypes, os, sys
library = ctypes.CDLL(sys.argv[1], mode=os.RTLD_NOW if hasattr(os, "RTLD_NOW") else 0)
missing = [name for name in sys.argv[2:] if not hasattr(library, name)]
sys.exit(f"it does not export {', '.join(missing)}" if missing else None)
"""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. ``fix`` is empty where it is fine."""

    name: str
    found: str
    fix: str = ""


def examine() -> tuple[Check, ...]:
    """Looks at everything; takes a second."""
    found = [place for place in places() if place.bundle.is_dir()]
    checks = [_anywhere(found), _environment(found)]
    for place in found:
        checks += [_version(place), _loads(place.bundle), _glibc(place.bundle), _bridge(place.bundle)]
    return (*checks, *_own_bridge(found), _socket(), *_resolve())


def installed_version(bundle: Path) -> str | None:
    """The version that installed a bundle; ``None`` where MIVE did not."""
    record = read_record(bundle)
    return None if record is None else record.mive


def _anywhere(found: list[Place]) -> Check:
    if not found:
        return Check("plugin", "the effect is in none of the folders where hosts look", _REINSTALL)
    return Check("plugin", ", ".join(str(place.bundle) for place in found))


def _environment(found: list[Place]) -> Check:
    value = os.environ.get(VARIABLE)
    says = f"{VARIABLE} is {value}" if value else f"{VARIABLE} is not set"
    if found and not any(place.searched for place in found):
        line = export_line(found[0].folder)
        return Check("environment", f"{says}, so that no host finds the plugin", f"{line}, or {_REINSTALL} --write-env")
    return Check("environment", says)


def _version(place: Place) -> Check:
    version = installed_version(place.bundle)
    if version == __version__:
        return Check("version", f"{place.bundle} is {version}")
    other = "was not installed by this command" if version is None else f"is {version}, and MIVE is {__version__}"
    where = _REINSTALL if not place.searched else f"{_REINSTALL} --to {place.folder}"
    return Check("version", f"{place.bundle} {other}", where if version else f"Remove it, then {where}")


def _binary(bundle: Path) -> Path | None:
    return next(bundle.glob("Contents/*/MIVE.ofx"), None)


def _loads(bundle: Path) -> Check:
    binary = _binary(bundle)
    if binary is None:
        return Check("loads", f"{bundle} holds no MIVE.ofx", _REINSTALL)
    command = [sys.executable, "-c", _LOAD, str(binary), *_EXPORTS]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return Check("loads", f"{binary} hangs when it is loaded", _REINSTALL)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"the process that loaded it ended with {done.returncode}"])[-1]
        return Check("loads", f"{binary} cannot be loaded: {why}", _REINSTALL)
    return Check("loads", f"{binary} loads and exports what hosts call")


def _glibc(bundle: Path) -> Check:
    """What glibc the plugin asks for, by the versions of its symbols, which stand in it as text."""
    binary = _binary(bundle)
    contents = binary.read_bytes() if binary else b""
    needed = max(((int(a), int(b)) for a, b in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", contents)), default=None)
    name, version = platform.libc_ver()
    if needed is None or name != "glibc":
        return Check("glibc", "not asked for")
    here = tuple(map(int, version.split(".")[:2]))
    says = f"needs {needed[0]}.{needed[1]}, this system has {version}"
    if needed > here:
        return Check("glibc", says, "Update the system, or build the plugin on this one")
    return Check("glibc", says)


def _bridge(bundle: Path) -> Check:
    try:
        named = (bundle / BRIDGE).read_text(encoding="utf-8").strip()
    except OSError:
        return Check("bridge", f"{bundle} names no bridge to start", _REINSTALL)
    return _starts(named, f"{bundle / BRIDGE} names {named}", _REINSTALL)


def _own_bridge(found: list[Place]) -> Iterator[Check]:
    if chosen := os.environ.get("MIVE_BRIDGE"):
        yield _starts(chosen, f"MIVE_BRIDGE is {chosen}", "unset MIVE_BRIDGE")
    elif not found:
        try:
            yield Check("bridge", str(program("mive-bridge")))
        except MiveError as error:
            yield Check("bridge", error.what, error.fix)


def _starts(path: str, says: str, fix: str) -> Check:
    if not os.access(path, os.X_OK) or not Path(path).is_file():
        return Check("bridge", f"{says}, which cannot be started", fix)
    return Check("bridge", says)


def _socket() -> Check:
    if sys.platform == "win32":
        return Check("socket", "a named pipe")
    path = socket_path()
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        return Check("socket", f"{path} is longer than sockets may be", "Set MIVE_BRIDGE_SOCKET to a shorter path")
    try:
        status = path.parent.stat()
    except OSError:
        return Check("socket", f"{path}: no bridge has run yet; the plugin starts one")
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        return Check("socket", f"{path.parent} is open to other users", f"rm -r {path.parent}")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        try:
            client.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return Check("socket", f"{path}: no bridge is running; the plugin starts one")
        except OSError as error:
            return Check("socket", f"{path}: {error.strerror or error}", "Stop mive-bridge; the plugin starts another")
    return Check("socket", f"{path}: a bridge is running")


def _resolve() -> Iterator[Check]:
    if not (scripts_folder() / SCRIPT).is_file():
        return
    fix = f"{_REINSTALL} --resolve"
    support = support_folder()
    try:
        named = json.loads((support / "mive.json").read_bytes())["mive"]
    except (OSError, ValueError, KeyError, TypeError):
        yield Check("Resolve script", f"its files are missing from {support}", fix)
        return
    version = installed_version(support)
    if version != __version__:
        yield Check("Resolve script", f"it is {version}, and MIVE is {__version__}", fix)
    elif not os.access(named, os.X_OK):
        yield Check("Resolve script", f"it starts {named}, which is not there", fix)
    else:
        yield Check("Resolve script", f"{scripts_folder() / SCRIPT} starts {named}")
