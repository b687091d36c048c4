"""Time that nobody sets: what decides who owns a job, and what nobody needs any longer.

The wall clock says when something happened, for people. It can be set, forwards and backwards, by hours or by a month,
so nothing that is decided here hangs on it: leases and deadlines count on the machine's own clock, which only ever
goes forwards and means something until the machine starts again.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Clock = Callable[[], float]

_LINUX: Final = Path("/proc/sys/kernel/random/boot_id")


@functools.cache
def this_boot() -> str:
    """Names this run of the machine: another word after every start of it, the same for all processes."""
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return _LINUX.read_text("ascii").strip()


@dataclass(frozen=True)
class Clocks:
    """The two kinds of time.

    Attributes:
        wall: seconds since the epoch, for people.
        steady: seconds that no one sets; they compare within one boot, between all processes of the machine.
        boot: see `this_boot`.
    """

    wall: Clock = time.time
    steady: Clock = time.monotonic
    boot: Callable[[], str] = this_boot


CLOCKS: Final = Clocks()
"""Those of this machine."""
