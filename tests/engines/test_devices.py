"""Devices by name."""

from __future__ import annotations

import pytest

from mive.engines.devices import choose_device
from mive.errors import EngineError


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(EngineError, match="cuda:99"):
        choose_device("cuda:99")
