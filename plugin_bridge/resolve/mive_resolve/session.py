"""One edit from the form to the timeline, without a window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mive_resolve.form import Form, arguments, output, read_form
from mive_resolve.place import place
from mive_resolve.process import Rendered, RenderProcess
from mive_resolve.refusal import Refusal
from mive_resolve.shot import Found

if TYPE_CHECKING:
    from fusionscript import Resolve


class Installed(NamedTuple):
    """What ``mive plugin install --resolve`` wrote down.

    Attributes:
        mive: the program's path.
        presets: their names, as the program takes them.
        usual: the preset that is chosen at first.
    """

    mive: str
    presets: tuple[str, ...]
    usual: str


class Session:
    """What the dialog's buttons do.

    Args:
        program: the path of ``mive``.
    """

    def __init__(self, resolve: Resolve, found: Found, program: str) -> None:
        self._resolve = resolve
        self._found = found
        self._program = program
        self._process: RenderProcess | None = None

    @property
    def running(self) -> bool:
        """Whether a render is under way."""
        return self._process is not None

    def problem(self, form: Form) -> str:
        """What is wrong with the fields; empty where they can be rendered."""
        try:
            read_form(form)
        except Refusal as refusal:
            return str(refusal)
        return ""

    def start(self, form: Form) -> None:
        """Starts to render.

        Raises:
            Refusal: a field is wrong, or it cannot be started.
        """
        edit = read_form(form)
        out = output(edit.folder, self._found.shot)
        self._process = RenderProcess([self._program, *arguments(edit, self._found.shot, out)])

    def cancel(self) -> None:
        """Stops the render that is under way."""
        if self._process is not None:
            self._process.cancel()

    def close(self) -> None:
        """Stops the render that is under way, and forgets it."""
        if self._process is not None:
            self._process.abandon()
            self._process = None

    def step(self) -> str:
        """What to tell the user now; to be called now and then while :attr:`running`.

        Raises:
            Refusal: the render failed or was cancelled, or Resolve did not take its result.
        """
        assert self._process is not None
        process = self._process
        try:
            rendered = process.poll()
        except Refusal:
            self._process = None
            raise
        if rendered is None:
            return "Cancelling" if process.cancelled else process.progress
        self._process = None
        return self._finish(rendered)

    def _finish(self, rendered: Rendered) -> str:
        expected = self._found.shot.frames
        if rendered.frames != expected:
            raise Refusal(
                f"{rendered.out} has {rendered.frames} frames instead of {expected}",
                "Import it yourself, and check where it belongs",
            )
        try:
            warnings = [*rendered.warnings, *place(self._resolve, self._found, rendered.out)]
        except Refusal:
            raise
        except Exception as error:
            # What Resolve answers when its objects are gone is not documented.
            raise Refusal(
                f"Resolve failed with {type(error).__name__}: {error}",
                f"The edited clip is {rendered.out}: import it yourself",
            ) from error
        return "\n".join([f"Done: {rendered.out}", *(f"Warning: {text}" for text in warnings)])


def load_installed(folder: Path) -> Installed:
    """What stands in the folder's ``mive.json``.

    Raises:
        Refusal: there is none, or something is missing in it.
    """
    try:
        read = json.loads((folder / "mive.json").read_text(encoding="utf-8"))
        return Installed(str(read["mive"]), tuple(map(str, read["presets"])), str(read["usual"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refusal(f"{folder} does not say where mive is", 'Run "mive plugin install --resolve"') from error
