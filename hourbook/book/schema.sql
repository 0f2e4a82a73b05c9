-- Version 1 of the book. Frozen: later versions are migrations in schema.py, never edits here.
-- Column order of `entry` is the field order of protocols.entry.Entry.

CREATE TABLE entry (
    seq          INTEGER PRIMARY KEY,
    time_ns      INTEGER NOT NULL,
    bound_ns     INTEGER NOT NULL,      -- -1: the clock could promise nothing
    hlc          INTEGER NOT NULL,
    branch       INTEGER NOT NULL,      -- 0: main
    writer       TEXT    NOT NULL,
    session      TEXT    NOT NULL,
    nonce        BLOB    NOT NULL,
    kind         TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    entity       TEXT    NOT NULL,
    tags         BLOB    NOT NULL,      -- MessagePack array of text
    salt         BLOB,                  -- NULL once the details were dropped
    details      BLOB,                  -- MessagePack as received; NULL once dropped
    details_hash BLOB,                  -- SHA-256(salt || details), kept once they were dropped
    parent_hash  BLOB    NOT NULL,
    hash         BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX entry_nonce ON entry (writer, nonce);

-- "commit" is a word of SQL. Both numbers rise together, so one key finds a commit by either
-- (rows.find_commit), and a commit writes one page less.
CREATE TABLE signed_commit (
    last_seq    INTEGER PRIMARY KEY,
    commit_no   INTEGER NOT NULL,
    first_seq   INTEGER NOT NULL,
    head_hash   BLOB    NOT NULL,
    prev_commit BLOB    NOT NULL,
    parents     BLOB    NOT NULL,       -- MessagePack array of bin
    hlc         INTEGER NOT NULL,
    key         BLOB    NOT NULL,       -- Ed25519 public key
    signature   BLOB    NOT NULL
) STRICT;
