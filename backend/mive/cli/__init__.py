"""The command line: ``mive edit``, ``render-again``, ``score``, ``demo`` and ``doctor``."""

from mive.cli.app import main

__all__ = ["main"]
