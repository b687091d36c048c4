"""``mive render-again``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mive.console.ending import say_made
from mive.console.needs import require_models
from mive.console.options import JsonOption, QuietOption
from mive.console.progress import Told, shown
from mive.errors import EngineError, RequestError

if TYPE_CHECKING:
    from mive.manifest import Manifest


def render_again(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="What MIVE wrote beside an output.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="As in mive edit.")],
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make the frames of an earlier edit again, and check that they are the same, bit for bit."""
    from mive.manifest import read_manifest

    old = read_manifest(manifest)
    if old.frames_hash is None:
        raise RequestError(
            f"the manifest {manifest} does not hold the hash of its frames",
            expected="a manifest that MIVE wrote after an edit",
            fix="Take the manifest of a finished edit",
        )
    require_models()
    from mive import edit as editing

    with shown(quiet) as report:
        told = Told(report)
        again = old.rerender_request()
        result = editing.run_edit(again, out, report=report, engine=old.engine, warn=told, inputs=(manifest,))
    new = read_manifest(result.manifest)
    if new.frames_hash != old.frames_hash:
        reasons = list(differences(old, new)) or ["nothing that the manifest records"]
        raise EngineError(
            f"the frames in {out} differ from those of {manifest}",
            expected="the same source, mattes, bundle, packages and kind of machine",
            fix=f"What differs: {'; '.join(reasons)}. {out} was kept",
        )
    say_made(result, json, told=told.texts)
    if not json:
        print(f"The frames are those of {manifest}, bit for bit")


def differences(old: Manifest, new: Manifest) -> Iterator[str]:
    """What could have changed the frames between two edits of one request."""
    if old.source_hash != new.source_hash:
        yield f"the frames of {old.request.clip}"
    for path in sorted(old.matte_hashes.keys() | new.matte_hashes.keys()):
        if old.matte_hashes.get(path) != new.matte_hashes.get(path):
            yield f"the matte {path}"
    for file in sorted(old.bundle.files.keys() | new.bundle.files.keys()):
        if old.bundle.files.get(file) != new.bundle.files.get(file):
            yield f"{file} of the bundle {old.bundle.name}"
    for package in sorted(old.packages.keys() | new.packages.keys()):
        was, is_ = old.packages.get(package, "missing"), new.packages.get(package, "missing")
        if was != is_:
            yield f"{package} was {was} and is {is_}"
    for name in ("mive", "device", "engine", "precision", "scales", "python", "system"):
        was, is_ = getattr(old, name), getattr(new, name)
        if was != is_:
            yield f"{name} was {was} and is {is_}"
