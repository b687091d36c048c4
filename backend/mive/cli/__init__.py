"""The command line: ``mive edit``, ``render-again``, ``score``, ``demo`` and ``doctor``, and ``mive render``, ``jobs``,
``watch`` and ``cancel``, which speak to a server."""

from mive.cli.app import main

__all__ = ["main"]
