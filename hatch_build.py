"""Builds the contract's Python code into every wheel and editable installation."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ContractHook(BuildHookInterface):
    """Runs proto/generate.py and adds its files, which git ignores, to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        generate = runpy.run_path(str(root / "proto" / "generate.py"))["generate"]
        build_data["artifacts"] += [path.relative_to(root).as_posix() for path in generate(root)]
