"""One SQLite file that several threads and processes share."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mive.errors import MiveError, OutputError
from mive.server.errors import StoreError
from mive.server.schema import MIGRATIONS

BUSY_SECONDS = 10.0
"""How long a write waits for other processes' writes."""

Clock = Callable[[], float]


class Database:
    """A connection in WAL mode brought to the newest schema.

    Args:
        path: the file; it and its folder are made, readable by this user only.
        clock: seconds since the epoch.

    Raises:
        StoreError: it is no such database, or a newer MIVE made it.
        OutputError: it cannot be made or written.
    """

    def __init__(self, path: Path, clock: Clock = time.time) -> None:
        self.path = path
        self.now = clock
        self._lock = threading.RLock()
        self._commits = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        except OSError as error:
            raise OutputError(
                f"the job store {path} cannot be made: {error.strerror}",
                expected="a folder that may be written",
                fix="Choose another data folder, or change its permissions",
            ) from error
        self._connection = sqlite3.connect(path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        try:
            _enter_wal(self._connection)
            self._connection.execute("PRAGMA foreign_keys=ON")
            with self.transaction() as write:
                _migrate(write, path)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise StoreError(
                f"the job store {path} cannot be opened: {error}",
                expected="a database that mive-server made",
                fix="Move it away to start with an empty queue, or restore it from a backup",
            ) from error
        except MiveError:
            self._connection.close()
            raise

    @contextlib.contextmanager
    def transaction(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A write transaction; all of it happens or, on any exception, nothing.

        Args:
            durable: it is on the disk when this ends; else a power failure (but no crash) may undo it.

        Raises:
            OutputError: the disk is full or cannot be written.
        """
        with self._lock:
            try:
                self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
                self._commits += 1
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError):
                    raise _output_error(error) from error
                raise

    def read(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """All rows of a query; writers of other processes are not waited for."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def version(self) -> tuple[int, int]:
        """Another value after every change, by this process or another."""
        # SQLite's own number leaves out what this connection wrote.
        return int(self.read("PRAGMA data_version")[0][0]), self._commits

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Changing the mode does not wait for other processes that open the file at this moment, so it is tried again."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _migrate(write: sqlite3.Connection, path: Path) -> None:
    version: int = write.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StoreError(
            f"the job store {path} has version {version}",
            expected=f"version {len(MIGRATIONS)} or older",
            fix="Use the newer MIVE that made it, or another data folder",
        )
    for script in MIGRATIONS[version:]:
        # executescript would commit the transaction that guards against a second process.
        for statement in filter(str.strip, script.split(";")):
            write.execute(statement)
    if version < len(MIGRATIONS):
        write.execute(f"PRAGMA user_version={len(MIGRATIONS)}")


def _output_error(error: sqlite3.OperationalError) -> OutputError:
    full = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
    return OutputError(
        f"the job store cannot be written: {'the disk is full' if full else error}",
        expected="a disk with space that answers within seconds",
        fix="Free some space" if full else "Look at the disk of the data folder",
    )
