"""The time by which housekeeping goes: how long a server has been running, whatever the clock on the wall says."""

from __future__ import annotations

from mive.server.database import Database


class House:
    """Counts the seconds in which servers used a data folder, on and on from the wall clock's first reading.

    Things are kept for so many of these seconds. So a clock that is set, or a machine that was off for a month, makes
    nothing older than it is to those who use it; at worst it is kept for longer.

    Args:
        database: remembers how far the time has come. A process that is killed loses what has passed since `advance`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        steady = database.clocks.steady()
        rows = database.read("SELECT seconds FROM house WHERE typeof(seconds) = 'real'")
        self._offset = (rows[0][0] if rows else database.now()) - steady
        self.advance()

    def now(self) -> float:
        """The house's own seconds, which look like those since the epoch."""
        return self._offset + self._database.clocks.steady()

    def advance(self) -> float:
        """The time as `now` has it, remembered.

        Raises:
            OutputError: the store cannot be written.
        """
        now = self.now()
        with self._database.transaction() as write:
            write.execute(
                "INSERT INTO house (id, seconds) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET seconds = ?", (now, now)
            )
        return now
