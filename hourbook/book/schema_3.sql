-- Version 3 of the book: what reading it as of a time needs. Frozen, as every version.

-- First entries of the commits that are stamped earlier than the commit before them. Between two of
-- them time rises with seq, so a time is found by bisection, wherever the clock was set back.
CREATE TABLE clock_step (
    first_seq INTEGER PRIMARY KEY
) STRICT;

INSERT INTO clock_step
    SELECT first_seq FROM signed_commit
    JOIN entry AS last ON last.seq = last_seq
    JOIN entry AS before ON before.seq = first_seq - 1
    WHERE last.time_ns < before.time_ns;

CREATE TRIGGER signed_commit_step AFTER INSERT ON signed_commit
    WHEN (SELECT time_ns FROM entry WHERE seq = new.last_seq)
       < (SELECT time_ns FROM entry WHERE seq = new.first_seq - 1)
BEGIN
    INSERT OR IGNORE INTO clock_step VALUES (new.first_seq);
END;

-- Partial: no other entry pays for it.
CREATE INDEX entry_instance ON entry (seq) WHERE kind IN ('instance.register', 'instance.release');
