"""One SQLite file that several threads and processes share."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from mive.errors import MiveError, OutputError
from mive.server.bell import Bell
from mive.server.clocks import CLOCKS, Clocks
from mive.server.errors import StoreError
from mive.server.schema import MIGRATIONS

BUSY_SECONDS = 10.0
"""How long a write waits for other processes' writes."""

BELLS: Final = "bells"
"""Beside the file: the folder of those who are told of changes."""


class Database:
    """A file in WAL mode brought to the newest schema, with one connection to write and one to read.

    Args:
        path: the file; it and its folder are made, readable by this user only.
        check: look the whole file through for damage first, which takes a second for some hundred megabytes.

    Raises:
        StoreError: it is no such database, it is damaged, or a newer MIVE made it.
        OutputError: it cannot be made or written.
    """

    def __init__(self, path: Path, clocks: Clocks = CLOCKS, *, check: bool = False) -> None:
        self.path = path
        self.clocks = clocks
        self.bell = Bell(path.parent / BELLS)
        self._writing, self._reading = threading.RLock(), threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        except OSError as error:
            raise OutputError(
                f"the job store {path} cannot be made: {error.strerror}",
                expected="a folder that may be written",
                fix="Choose another data folder, or change its permissions",
            ) from error
        self._writer = _connect(path)
        try:
            _enter_wal(self._writer)
            if check:
                _check(self._writer)
            self._writer.execute("PRAGMA foreign_keys=ON")
            with self.transaction() as write:
                _migrate(write, path)
            self._reader = _connect(path)
            self._reader.execute("PRAGMA query_only=ON")
        except sqlite3.DatabaseError as error:
            self._writer.close()
            raise StoreError(
                f"the job store {path} cannot be opened: {error}",
                expected="a database that mive-server made",
                fix="Move it away to start with an empty queue, or restore it from a backup",
            ) from error
        except MiveError:
            self._writer.close()
            raise

    def now(self) -> float:
        """Seconds since the epoch, for people."""
        return self.clocks.wall()

    @contextlib.contextmanager
    def transaction(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A write transaction; all of it happens or, on any exception, nothing. It ends with a ring of the bell.

        Args:
            durable: it is on the disk when this ends; else a power failure (but no crash) may undo it.

        Raises:
            OutputError: the disk is full or cannot be written.
        """
        with self._writing:
            try:
                self._writer.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                self._writer.execute("COMMIT")
                self.bell.ring()
            except BaseException as error:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                if isinstance(error, sqlite3.DatabaseError):
                    raise _output_error(error) from error
                raise

    def read(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """All rows of a query, as of the last transaction that ended; those that write are not waited for.

        Args:
            values: for its question marks, or one mapping for its names.

        Raises:
            OutputError: the disk cannot be read.
        """
        with self._reading:
            try:
                named = values[0] if values and isinstance(values[0], Mapping) else values
                return self._reader.execute(sql, named).fetchall()
            except sqlite3.DatabaseError as error:
                raise _output_error(error) from error

    def version(self) -> int:
        """Another value after every change, by this process or another."""
        return int(self.read("PRAGMA data_version")[0][0])

    def close(self) -> None:
        for connection, lock in ((self._writer, self._writing), (self._reader, self._reading)):
            with lock:
                connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    # What another version or a damaged disk left must not keep the rest of a table from being read.
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Looks for damage before it is built upon."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"it is damaged ({found})")


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


def _output_error(error: sqlite3.DatabaseError) -> OutputError:
    full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return OutputError(
        f"the job store cannot be used: {'the disk is full' if full else error}",
        expected="a disk with space that answers within seconds",
        fix="Free some space" if full else "Look at the disk of the data folder",
    )
