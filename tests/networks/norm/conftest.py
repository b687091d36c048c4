"""Kernels of networks run in tests where attention's do."""

from tests.attention.conftest import interpreter, run

__all__ = ["interpreter", "run"]
