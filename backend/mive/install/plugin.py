"""What ``mive plugin install`` and ``mive plugin uninstall`` do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from mive.errors import RequestError
from mive.install.owned import MARK, Change, put_file, put_folder, take_file, take_folder
from mive.install.places import BUNDLE, VARIABLE, environment_file, scripts_folder, support_folder
from mive.settings import PRESETS, USUAL_PRESET

BRIDGE: Final = "Contents/Resources/bridge"
"""Names the program that the plugin starts, by path in the bundle."""
SCRIPT: Final = "MIVE.py"
_FOLDER_LINE: Final = 'FOLDER = ""\n'


def install_bundle(bundle: Path, folder: Path, bridge: Path) -> Change:
    """Puts the plugin into a folder of plugins, with the bridge that it is to start.

    Raises:
        MiveError: another bundle is there.
        OutputError: it cannot be written.
    """
    files = {path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    return put_folder(folder / BUNDLE, {**files, BRIDGE: f"{bridge}\n".encode()})


def install_script(script: Path, mive: Path) -> tuple[Change, Change]:
    """Puts the script into DaVinci Resolve's menu, and its modules where the menu does not show them.

    Args:
        script: the folder of :func:`mive.install.sources.find_script`.
        mive: the program that the script starts.

    Raises:
        MiveError: something else is there.
        OutputError: it cannot be written.
    """
    support = support_folder()
    modules = sorted((script / "mive_resolve").glob("*.py"))
    files = {f"mive_resolve/{path.name}": path.read_bytes() for path in modules}
    settings = json.dumps({"mive": str(mive), "presets": list(PRESETS), "usual": USUAL_PRESET}).encode()
    before, after = (script / SCRIPT).read_text(encoding="utf-8").split(_FOLDER_LINE)
    # Resolve does not tell a script where it lies.
    text = f"{MARK}\n{before}FOLDER = {str(support)!r}\n{after}"
    return put_folder(support, {**files, "mive.json": settings}), put_file(scripts_folder() / SCRIPT, text)


def write_environment(folder: Path) -> Change:
    """Lets programs that are started from the desktop know of a folder of plugins, from the next login on.

    Raises:
        RequestError: this system has no such file, or the folder cannot stand in it.
        MiveError: another file is there.
        OutputError: it cannot be written.
    """
    if not sys.platform.startswith("linux"):
        raise RequestError(
            "--write-env writes a file of systemd's, which this system does not have",
            expected="Linux",
            fix="Install with --system instead",
        )
    if any(character in str(folder) for character in ':$"\\\n'):
        raise RequestError(
            f"the folder {folder} cannot stand in {VARIABLE}, or in the file that sets it",
            expected='a path without : $ " and \\',
            fix="Install elsewhere with --to DIR",
        )
    return put_file(environment_file(), f'{MARK}\n{VARIABLE}="{folder}${{{VARIABLE}:+:${VARIABLE}}}"\n')


def uninstall_bundle(folder: Path) -> Change:
    """Removes the plugin from a folder of plugins.

    Raises:
        MiveError: MIVE did not install it.
        OutputError: it cannot be removed.
    """
    return take_folder(folder / BUNDLE)


def uninstall_extras() -> tuple[Change, ...]:
    """Removes what installs wrote for this user beside the plugin.

    Raises:
        MiveError: MIVE did not install it.
        OutputError: it cannot be removed.
    """
    script = take_file(scripts_folder() / SCRIPT)
    return script, take_folder(support_folder()), take_file(environment_file())
