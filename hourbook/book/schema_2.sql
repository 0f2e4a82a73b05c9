-- Version 2 of the book: changes. Frozen: later versions have files of their own.

-- What each change was answered, for a resend of it. Kept for 24 hours, oldest first by id.
CREATE TABLE outcome (
    id      INTEGER PRIMARY KEY,
    writer  TEXT    NOT NULL,
    nonce   BLOB    NOT NULL,
    time_ns INTEGER NOT NULL,
    digest  BLOB    NOT NULL,           -- of the change: another one under this nonce is refused
    refused INTEGER NOT NULL,           -- 1: `body` is an ErrorBody
    body    BLOB    NOT NULL            -- MessagePack of the answer
) STRICT;

CREATE UNIQUE INDEX outcome_nonce ON outcome (writer, nonce);

-- Every name that was ever registered, with its holder while there is one.
CREATE TABLE instance (
    name           TEXT    PRIMARY KEY,
    boot_id        BLOB    NOT NULL,    -- of the machine when it was registered
    pid            INTEGER NOT NULL,
    start_ticks    INTEGER NOT NULL,    -- of the process, field 22 of /proc/PID/stat
    connection     BLOB    NOT NULL,    -- first 8 bytes of its nonces: which connect() it was
    registered_seq INTEGER NOT NULL,    -- its last `instance.register`
    released_seq   INTEGER,             -- its `instance.release`; NULL while it is held
    registered_ns  INTEGER NOT NULL,
    seen_ns        INTEGER NOT NULL     -- last heard of, as of the last commit after that
) STRICT, WITHOUT ROWID;

-- How far each name has read. Not journaled: to record that one has read would be something to read.
CREATE TABLE cursor (
    name     TEXT    PRIMARY KEY,
    position INTEGER NOT NULL,          -- the last seq that is done with
    moved_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    name        TEXT    PRIMARY KEY,
    started_seq INTEGER NOT NULL,       -- its first `session.start`
    started_ns  INTEGER NOT NULL,
    started_by  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Both are partial: an entry outside of sessions that decides nothing pays for neither.
CREATE INDEX entry_session ON entry (session, seq) WHERE session <> '';
CREATE INDEX entry_decision ON entry (seq) WHERE action IN ('decided', 'decision');
