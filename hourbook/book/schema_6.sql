-- Version 6 of the book: where a holder's pid counts. Frozen, as every version.

-- Inode of its /proc/PID/ns/pid; 0: unknown, taken for the one that the writer lives in.
ALTER TABLE instance ADD COLUMN pid_ns INTEGER NOT NULL DEFAULT 0;
