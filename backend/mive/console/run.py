"""How a program runs one of its commands, and with which exit code that ends."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import typer

from mive.console.ending import say_failure
from mive.console.stopping import stoppable
from mive.errors import Cancelled, MiveError, RequestError


def run(program: typer.Typer, name: str, arguments: Sequence[str] | None = None) -> int:
    """Runs one command of a program and returns its exit code.

    What goes wrong is told on standard error in one sentence, or, with ``--json``, as one JSON
    object on standard output.

    Args:
        arguments: without the program's name; by default the process's own.
    """
    # OpenMP's threads otherwise spin while they wait, and on a busy machine an edit takes many times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    failure: MiveError
    try:
        with stoppable() as stopped:
            code: int = program(words or ["--help"], prog_name=name, standalone_mode=False) or 0
        if not stopped.is_set():
            return code
        failure = Cancelled("stopped", fix="Nothing unfinished was left behind")
    except MiveError as error:
        failure = error
    except typer.TyperException as error:
        # Raised before any command runs: an option that does not exist, a value of another type.
        failure = RequestError(error.format_message(), fix=f'"{name} COMMAND --help" lists the options')
    except Exception as error:
        if debug:
            traceback.print_exc()
        failure = MiveError(
            f"MIVE ran into an error of its own, {type(error).__name__}: {error}",
            fix="Run again with --debug to see where, and report it",
        )
    return say_failure(failure, as_json="--json" in words)
