"""Programs are tried on what `mive` is tried on."""

from tests.cli.conftest import bundle, toy

__all__ = ["bundle", "toy"]
