"""Where the script begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mive_resolve.dialog import Dialog, show_message
from mive_resolve.refusal import Refusal
from mive_resolve.session import Session, load_installed
from mive_resolve.shot import find_shot


def main(resolve: Any, bmd: Any, folder: str) -> None:
    """Edits the clip under the playhead, or says why not.

    Args:
        resolve: Resolve, as it gives itself to its scripts.
        bmd: its module; ``None`` in a Python that Resolve did not start.
        folder: of this installation, with ``mive.json``.
    """
    if resolve is None and bmd is not None:
        resolve = bmd.scriptapp("Resolve")
    if resolve is None:
        print("Start this from DaVinci Resolve: Workspace > Scripts > MIVE")
        return
    fusion = resolve.Fusion()
    try:
        installed = load_installed(Path(folder))
        found = find_shot(resolve)
        Dialog(fusion, bmd, Session(resolve, found, installed.mive), found.shot, installed).run()
    except Refusal as refusal:
        print(refusal)
        try:
            show_message(fusion, bmd, str(refusal))
        except Refusal as windowless:
            print(windowless)
