"""Work in threads that ends with the call it is done for."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, TypeVar

from mive.server.errors import QueueFull
from mive.server.loops import going_on

RETRY_SECONDS: Final = 5.0

T = TypeVar("T")


class CallEnded(Exception):
    """Nobody waits for the work any longer."""


class Call:
    """The call that something is done for."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def end(self) -> None:
        """Nobody waits any longer."""
        self._over.set()

    def check(self) -> None:
        """Go on only while somebody waits; to be called between pieces of work that take a moment each.

        Raises:
            CallEnded: nobody does.
        """
        if self._over.is_set():
            raise CallEnded

    def each(self, things: Iterable[T]) -> Iterator[T]:
        """The things, for as long as somebody waits.

        Raises:
            CallEnded: nobody does.
        """
        for thing in things:
            self.check()
            yield thing


class Pool:
    """Threads for one kind of work, so that no other kind waits for it.

    They do not keep the process from ending: one may be looking at a disk that never answers.

    Args:
        name: of the threads.
        threads: how many at most.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._most = threads
        self._threads: list[threading.Thread] = []
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    async def run(self, work: Callable[[Call], T], undo: Callable[[T], None] | None = None) -> T:
        """What the work gives. Where the call ends before it, the work is told so, and does not begin if it has not.

        Args:
            undo: what to do with a result that comes when nobody waits for it any longer.
        """
        call = Call()
        future = self._begin(lambda: work(call))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            call.end()
            if undo is not None:
                future.add_done_callback(lambda done: _undo(done, undo))
            raise

    def later(self, work: Callable[[], object], what: str) -> None:
        """Do what has to be done when a call has ended, and does not have to be waited for.

        Args:
            what: could not be done, for the log.
        """

        def tidy() -> None:
            with going_on(what):
                work()

        self._begin(tidy)

    def close(self, seconds: float = 5.0) -> None:
        """Wait for what is being done, and was to be done later, but no longer than that."""
        end = time.monotonic() + seconds
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        context = contextvars.copy_context()

        def task() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(context.run(work))
                except BaseException as error:
                    future.set_exception(error)

        self._tasks.put(task)
        if len(self._threads) < self._most:
            thread = threading.Thread(target=self._serve, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def _serve(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
            # Or it would hold its result until the next one.
            del task


@dataclass(frozen=True)
class Pools:
    """The threads of a server, besides asyncio's own, which look at the job store.

    Attributes:
        staging: writes what requests bring along.
        paths: looks at files that requests name.
        transfers: reads and writes uploads, regions and frames.
        tidying: ends what calls have left behind.
    """

    staging: Pool = field(default_factory=lambda: Pool("staging", 4))
    paths: Pool = field(default_factory=lambda: Pool("paths", 8))
    transfers: Pool = field(default_factory=lambda: Pool("transfers", 6))
    tidying: Pool = field(default_factory=lambda: Pool("tidying", 2))

    def close(self) -> None:
        """See `Pool.close`."""
        for pool in (self.tidying, self.staging, self.paths, self.transfers):
            pool.close(2.0)


class Turns:
    """How many calls of each owner do something at once; the others wait for their turn.

    Args:
        each: of one owner at once.
        waiting: of one owner at most, besides those.
    """

    def __init__(self, each: int, waiting: int) -> None:
        self._each = each
        self._waiting = waiting
        self._turns: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @contextlib.asynccontextmanager
    async def of(self, owner: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it for the block.

        Raises:
            QueueFull: too many of the owner's wait.
        """
        turn, count = self._turns.get(owner, (asyncio.Semaphore(self._each), 0))
        if count >= self._each + self._waiting:
            raise QueueFull(
                f"{count} requests of this token are bringing frames at once",
                expected=f"at most {self._each + self._waiting}",
                fix="Send one after the other",
                retry_after=RETRY_SECONDS,
            )
        self._turns[owner] = turn, count + 1
        try:
            async with turn:
                yield
        finally:
            count = self._turns[owner][1] - 1
            self._turns[owner] = turn, count
            if not count:
                del self._turns[owner]


def _undo(done: Future[T], undo: Callable[[T], None]) -> None:
    if not done.cancelled() and done.exception() is None:
        with going_on("what came too late could not be undone"):
            undo(done.result())
