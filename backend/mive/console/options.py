"""The options that all programs have."""

from __future__ import annotations

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines, errors too.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
