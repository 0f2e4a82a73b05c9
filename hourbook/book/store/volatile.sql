-- The database of volatile keys, in the run directory. Made anew after each boot.

CREATE TABLE kv (
    id         INTEGER PRIMARY KEY,
    ns         TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    version    INTEGER NOT NULL,        -- hybrid time of the write
    created    INTEGER NOT NULL,
    type       TEXT    NOT NULL,
    expires_ns INTEGER,
    encoding   INTEGER NOT NULL,
    value      BLOB,
    metadata   BLOB
) STRICT;

CREATE UNIQUE INDEX kv_key ON kv (ns, key);
CREATE INDEX kv_expiry ON kv (expires_ns) WHERE expires_ns IS NOT NULL;

CREATE TABLE outcome (
    id      INTEGER PRIMARY KEY,
    writer  TEXT    NOT NULL,
    nonce   BLOB    NOT NULL,
    time_ns INTEGER NOT NULL,
    digest  BLOB    NOT NULL,
    refused INTEGER NOT NULL,
    body    BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX outcome_nonce ON outcome (writer, nonce);

CREATE TABLE life (
    boot_id BLOB    NOT NULL,           -- of the machine: after another boot nothing here counts
    hlc     INTEGER NOT NULL            -- the last version that was given, deletions included
) STRICT;
