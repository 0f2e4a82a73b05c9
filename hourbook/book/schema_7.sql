-- Version 7 of the book: the store. Frozen, as every version.

-- What each key of main holds now. Kept in step with the entries, in their transaction.
CREATE TABLE kv (
    id         INTEGER PRIMARY KEY,
    ns         TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    version    INTEGER NOT NULL,        -- seq of the entry that wrote it
    created    INTEGER NOT NULL,        -- seq of the entry that made it
    type       TEXT    NOT NULL,
    expires_ns INTEGER,                 -- UTC; NULL: never
    encoding   INTEGER NOT NULL,        -- of `value`: 0 MessagePack, 1 the same compressed by zstd
    value      BLOB,                    -- NULL: redacted
    metadata   BLOB                     -- MessagePack map; NULL: none
) STRICT;

CREATE UNIQUE INDEX kv_key ON kv (ns, key);
CREATE INDEX kv_expiry ON kv (expires_ns) WHERE expires_ns IS NOT NULL;
-- The newest keys that everybody's context shows.
CREATE INDEX kv_shared ON kv (version) WHERE type = 'shared';

-- Which entries were about a key: of any moment the last one not later says what it held.
CREATE TABLE kv_log (
    branch INTEGER NOT NULL,            -- 0: main
    ns     TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (branch, ns, key, seq)
) STRICT, WITHOUT ROWID;

-- Of which namespaces the past was compacted: what they held before `first_seq` is not known.
CREATE TABLE kv_floor (
    ns        TEXT    PRIMARY KEY,
    first_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE kv_schema (
    ns     TEXT    PRIMARY KEY,
    seq    INTEGER NOT NULL,            -- of the entry that set it
    schema TEXT    NOT NULL             -- JSON
) STRICT, WITHOUT ROWID;

-- Locks that are held. Deadlines are the writer's own: they count boot time, which no file keeps.
CREATE TABLE lease (
    ns          TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    token       INTEGER NOT NULL,       -- seq of the grant
    writer      TEXT    NOT NULL,
    call        BLOB    NOT NULL,       -- nonce of the request that it was granted to
    boot_id     BLOB    NOT NULL,
    pid         INTEGER NOT NULL,
    start_ticks INTEGER NOT NULL,
    pid_ns      INTEGER NOT NULL,
    granted_ns  INTEGER NOT NULL,       -- UTC
    ttl_ns      INTEGER NOT NULL,
    PRIMARY KEY (ns, key)
) STRICT, WITHOUT ROWID;
