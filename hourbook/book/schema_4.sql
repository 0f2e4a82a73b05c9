-- Version 4 of the book: details that are no longer in their entries. Frozen, as every version.

-- One row for each entry whose details (and salt) are gone from `entry`.
CREATE TABLE detached (
    seq     INTEGER PRIMARY KEY,
    by_seq  INTEGER NOT NULL,           -- the entry that says so; 0: a restore cut that one off
    archive INTEGER                     -- number of the file that has them; NULL: dropped for good
) STRICT;

-- Only files that hold something have a row. A file that is rewritten gets another name.
CREATE TABLE archive (
    number     INTEGER PRIMARY KEY,
    file       TEXT    NOT NULL UNIQUE, -- name in <home>/archive
    sha256     BLOB    NOT NULL,        -- of its bytes
    first_seq  INTEGER NOT NULL,
    last_seq   INTEGER NOT NULL,
    entries    INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL         -- of the file
) STRICT;
