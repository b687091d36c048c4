"""The command line.

``mive edit`` and ``render-again`` edit here; ``render``, ``jobs``, ``watch`` and ``cancel`` speak to a server;
``score``, ``bench``, ``dataset`` and ``study`` measure; ``plugin``, ``demo`` and ``doctor`` help.
"""

from mive.cli.app import main

__all__ = ["main"]
