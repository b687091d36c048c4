"""Threads for what blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class Threads:
    """So many threads, of their own: what takes long elsewhere does not keep answers waiting."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, name)

    async def run(self, function: Callable[[*_Ts], _T], *arguments: *_Ts) -> _T:
        """What the function returns, or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def close(self) -> None:
        """Waits for what runs."""
        self._pool.shutdown()
