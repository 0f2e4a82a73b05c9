"""From a time to a place in the book. An edge: it reads the database."""

import sqlite3

__all__ = ["seq_at_time"]


def seq_at_time(connection: sqlite3.Connection, time_ns: int) -> int:
    """Return the last seq of the last commit whose time is not later than `time_ns`; 0 for none.

    Times need not rise with seq, since a clock may be set back; so the commits are walked back from
    the newest, about 1 us each.
    """
    row = connection.execute(
        "SELECT last_seq FROM signed_commit JOIN entry ON entry.seq = last_seq"
        " WHERE time_ns <= ? ORDER BY last_seq DESC LIMIT 1",
        (time_ns,),
    ).fetchone()
    return 0 if row is None else int(row[0])
