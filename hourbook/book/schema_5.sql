-- Version 5 of the book: branches. Frozen, as every version.

CREATE TABLE branch (
    number      INTEGER PRIMARY KEY,    -- as in `entry`; never used twice, 0 is main
    name        TEXT    NOT NULL,
    parent      INTEGER NOT NULL,
    base_seq    INTEGER NOT NULL,       -- the last entry of the parent that it sees
    created_seq INTEGER NOT NULL,
    merged_head INTEGER NOT NULL,       -- its last entry that was merged; 0: none
    merged_seq  INTEGER NOT NULL,       -- its last `branch.merge`; 0: never
    deleted_seq INTEGER                 -- NULL: it is there
) STRICT;

CREATE UNIQUE INDEX branch_name ON branch (name) WHERE deleted_seq IS NULL;

-- Partial: an entry of main pays nothing for it.
CREATE INDEX entry_branch ON entry (branch, seq) WHERE branch <> 0;
