"""Where OpenFX hosts and DaVinci Resolve look.

Source: OpenFX 1.5.1, "Packaging OFX Plug-ins"; the README of DaVinci Resolve's scripting interface.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mive.base.places import config_folder
from mive.errors import MiveError

BUNDLE: Final = "MIVE.ofx.bundle"
VARIABLE: Final = "OFX_PLUGIN_PATH"


@dataclass(frozen=True)
class Place:
    """A folder of plugins."""

    folder: Path
    why: str
    """Who looks there, in words."""
    searched: bool
    """Whether hosts started from here would look there."""

    @property
    def bundle(self) -> Path:
        """Where MIVE's bundle is, or would be."""
        return self.folder / BUNDLE


def system_folder(system: str = sys.platform) -> Path:
    """Where every host looks, for all users of the machine."""
    if system == "win32":
        return Path(os.environ.get("COMMONPROGRAMFILES", r"C:\Program Files\Common Files")) / "OFX" / "Plugins"
    return Path("/Library/OFX/Plugins" if system == "darwin" else "/usr/OFX/Plugins")


def user_folder(system: str = sys.platform) -> Path:
    """This user's own, where hosts look only if :data:`VARIABLE` names it: OpenFX knows no folder per user."""
    return _user_data(system) / "OFX" / "Plugins"


def support_folder(system: str = sys.platform) -> Path:
    """Where what DaVinci Resolve's menu must not show lies: every Python file beside a script becomes an entry."""
    return _user_data(system) / ("MIVE" if system in ("win32", "darwin") else "mive") / "resolve"


def scripts_folder(system: str = sys.platform) -> Path:
    """This user's folder of the scripts that DaVinci Resolve shows on all of its pages."""
    if system == "win32":
        home = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
        resolve = home / "Blackmagic Design" / "DaVinci Resolve" / "Support"
    elif system == "darwin":
        resolve = Path.home() / "Library" / "Application Support" / "Blackmagic Design" / "DaVinci Resolve"
    else:
        resolve = Path.home() / ".local" / "share" / "DaVinciResolve"
    return resolve / "Fusion" / "Scripts" / "Utility"


def environment_file() -> Path:
    """The file from which systemd gives desktop programs their variables (environment.d(5))."""
    return config_folder() / "environment.d" / "mive.conf"


def listed_folders() -> tuple[Path, ...]:
    """The folders in :data:`VARIABLE`, in its order."""
    names = os.environ.get(VARIABLE, "").split(os.pathsep)
    return tuple(dict.fromkeys(Path(name) for name in names if name))


def places() -> tuple[Place, ...]:
    """All folders that matter here, each once: those hosts search, and this user's own."""
    found = [Place(folder, f"{VARIABLE} names it", True) for folder in listed_folders()]
    found.append(Place(system_folder(), "all hosts look there", True))
    found.append(Place(user_folder(), f"hosts look there if {VARIABLE} names it", False))
    first: dict[Path, Place] = {}
    for place in found:
        first.setdefault(place.folder, place)
    return tuple(first.values())


def export_line(folder: Path) -> str:
    """What to type in a shell, so that hosts started from it look in a folder too."""
    if sys.platform == "win32":
        return f'setx {VARIABLE} "{folder};%{VARIABLE}%"'
    return f"export {VARIABLE}={shlex.quote(str(folder))}${{{VARIABLE}:+:${VARIABLE}}}"


def program(name: str) -> Path:
    """The absolute path of a program of this installation.

    Raises:
        MiveError: it is not there.
    """
    suffix = ".exe" if sys.platform == "win32" else ""
    for folder in (Path(sysconfig.get_path("scripts")), Path(sys.executable).parent):
        if (folder / f"{name}{suffix}").is_file():
            return (folder / f"{name}{suffix}").absolute()
    if found := shutil.which(name):
        return Path(found).absolute()
    raise MiveError(
        f"the program {name} is not installed",
        expected=f"{name} beside {sys.executable}, or on PATH",
        fix="pip install --force-reinstall --no-deps mive",
    )


def _user_data(system: str) -> Path:
    if system == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if system == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
