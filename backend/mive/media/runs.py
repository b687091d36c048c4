"""Frame numbers for people, as runs: ``"3, 5-9"``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def shown_numbers(numbers: Iterable[int]) -> str:
    """Frame numbers in rising order, for people: ``"3, 5-9"``; no more than eight runs of them."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return shown_runs(runs)


def shown_runs(runs: Sequence[tuple[int, int]]) -> str:
    """Runs of numbers, each by its first and last; no more than eight of them."""
    shown = ", ".join(f"{a}-{b}" if a < b else f"{a}" for a, b in runs[:8])
    return shown + (", ..." if len(runs) > 8 else "")
