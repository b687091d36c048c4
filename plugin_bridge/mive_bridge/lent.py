"""The server and the certificates of the bridge's edits, for renders that go to the server by themselves."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from mive.client.errors import Unreachable
from mive_bridge.asking import Asking
from mive_bridge.messages import Malformed
from mive_bridge.servers import PROGRAM, listens, starts_at, tls_for
from mive_bridge.settings import Settings

if TYPE_CHECKING:
    from mive.client import Tls

_OFTEN: Final = 60.0
"""Seconds between two requests that keep bridge and server alive."""

_STARTING: Final = 120.0
"""Seconds until a server that was started accepts connections."""


@contextlib.contextmanager
def lent_server(address: str | None, say: Callable[[str], None]) -> Iterator[Tls | None]:
    """What the bridge uses to reach a server; where the settings wish it, the bridge starts one and keeps it running.

    Args:
        address: None for the usual one.
        say: told what takes long.

    Yields:
        the files of TLS connections there.

    Raises:
        RequestError: the bridge's settings or the address make no sense.
        Unreachable: a bridge is needed, and there is none.
    """
    settings = Settings.load()
    tls = tls_for(settings, address or "")
    if not starts_at(settings, address or ""):
        yield tls
        return
    starts = _asked()
    with _kept(min(_OFTEN, settings.idle_seconds / 4)):
        if starts and not listens():
            say(f"the bridge starts {PROGRAM}")
            _wait()
        yield tls


def _asked() -> bool:
    """Ask the bridge to look after the server; whether it starts one where there is none.

    Raises:
        Unreachable: there is no bridge.
    """
    asking = Asking.begin("mive render")
    try:
        answer = asking.ask("server")
    except (OSError, Malformed) as error:
        raise Unreachable(
            f"the bridge does not answer: {error}", fix='"mive-bridge --doctor" says what is wrong'
        ) from error
    finally:
        asking.close()
    return answer.fields.get("starts") == "1"


def _wait() -> None:
    """Until the server accepts connections; if it never does, whoever connects tells why."""
    end = time.monotonic() + _STARTING
    while not listens() and time.monotonic() < end:
        time.sleep(0.2)


@contextlib.contextmanager
def _kept(often: float) -> Iterator[None]:
    """Asks again, so that the bridge knows that it is needed."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(often):
            # Without a bridge the server still runs, and whoever uses it notices when it does not.
            with contextlib.suppress(Unreachable):
                _asked()

    keeper = threading.Thread(target=ask, name="bridge", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()
