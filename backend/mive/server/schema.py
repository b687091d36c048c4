"""The tables of the job store, one script per version.

A database's ``user_version`` is the number of scripts that were run on it. Scripts are only ever added.
"""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final = (
    """
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        request TEXT NOT NULL,
        priority INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'queued',
        key TEXT,
        deadline REAL,
        created REAL NOT NULL,
        updated REAL NOT NULL,
        started REAL,
        ended REAL,
        attempts INTEGER NOT NULL DEFAULT 0,
        fruitless INTEGER NOT NULL DEFAULT 0,
        cancelling TEXT,
        window INTEGER,
        first INTEGER,
        last INTEGER,
        last_event INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        manifest TEXT,
        UNIQUE (owner, key)
    );
    CREATE INDEX jobs_by_state ON jobs (state, priority, number);
    CREATE INDEX jobs_by_owner ON jobs (owner, number);
    CREATE TABLE leases (
        job TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
        worker TEXT NOT NULL,
        expires REAL NOT NULL
    );
    CREATE TABLE events (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        sequence INTEGER NOT NULL,
        time REAL NOT NULL,
        kind TEXT NOT NULL,
        slot TEXT,
        body TEXT NOT NULL,
        PRIMARY KEY (job, sequence)
    ) WITHOUT ROWID;
    CREATE TABLE workers (
        name TEXT PRIMARY KEY,
        device TEXT NOT NULL,
        state TEXT NOT NULL,
        error TEXT,
        updated REAL NOT NULL
    );
    """,
    """
    ALTER TABLE jobs ADD COLUMN before INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN after INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN preview_every INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN watched INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN clip BLOB;
    ALTER TABLE workers ADD COLUMN about TEXT NOT NULL DEFAULT '{}';
    """,
    """
    ALTER TABLE events RENAME COLUMN body TO message;
    """,
    """
    ALTER TABLE jobs ADD COLUMN patience REAL;
    ALTER TABLE jobs ADD COLUMN due REAL;
    ALTER TABLE jobs ADD COLUMN boot TEXT;
    ALTER TABLE jobs ADD COLUMN ending INTEGER;
    ALTER TABLE jobs ADD COLUMN unneeded REAL;
    CREATE INDEX jobs_by_ending ON jobs (ending);
    ALTER TABLE jobs ADD COLUMN retry_of TEXT;
    ALTER TABLE jobs ADD COLUMN stage TEXT;
    ALTER TABLE jobs ADD COLUMN share REAL;
    ALTER TABLE jobs ADD COLUMN eta REAL;
    ALTER TABLE jobs ADD COLUMN told REAL;
    CREATE TABLE labels (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (job, name)
    ) WITHOUT ROWID;
    CREATE INDEX labels_by_value ON labels (name, value);
    ALTER TABLE leases ADD COLUMN boot TEXT NOT NULL DEFAULT '';
    CREATE TABLE house (id INTEGER PRIMARY KEY CHECK (id = 1), seconds REAL, endings INTEGER NOT NULL DEFAULT 0);
    """,
)
"""``fruitless`` counts starts since the last checkpoint, ``cancelling`` says why a running job is to stop, and
``window`` replaces the request's after an edit ran out of memory. ``before`` and ``after`` are handles, ``watched``
jobs live only as long as the stream that submitted them, and ``clip`` is a serialised ``mive.v1.ClipInfo``.
``message`` is a serialised ``mive.v1.JobEvent``; in rows from before it was named so it is JSON, which nothing reads.
``patience`` is how many seconds a job may wait, and ``due`` when they are over on the steady clock of the ``boot`` it
was submitted in; ``deadline`` says the same by the wall clock. A lease's ``expires`` counts on the steady clock of its
``boot``. ``ending`` numbers jobs in the order in which they ended, as counted in ``house``. There ``seconds`` is the
house's own time (see `mive.server.house`), at which an ended job was first seen to be ``unneeded``. A running job is in
its ``stage``, ``share`` of it is done, and ``eta`` seconds were left when that was ``told``, on the steady clock.
"""
