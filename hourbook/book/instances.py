"""Who was registered and how far each name has read: rows of `instance` and `cursor`. An edge."""

import sqlite3
from collections.abc import Mapping

from protocols.instance_messages import Holder, Instance

__all__ = ["Sighting", "find_position", "list_instances", "store_sightings"]

Sighting = tuple[int, int]
"""What a beat says: UTC in nanoseconds, and a position; -1 where it says nothing of it."""


def list_instances(connection: sqlite3.Connection) -> list[Instance]:
    """Return every name that was registered or has read, by name."""
    rows = connection.execute(
        "SELECT name, released_seq IS NULL, boot_id, pid, start_ticks, pid_ns,"
        " registered_ns,"
        " max(seen_ns, coalesce(moved_ns, 0)), coalesce(position, -1)"
        " FROM instance LEFT JOIN cursor USING (name)"
        " UNION ALL SELECT name, 0, NULL, 0, 0, 0, 0, moved_ns, position FROM cursor"
        " WHERE name NOT IN (SELECT name FROM instance) ORDER BY name"
    ).fetchall()
    return [
        Instance(name, bool(held), None if holder[0] is None else Holder(*holder), *rest)
        for name, held, *columns in rows
        for holder, rest in ((columns[:4], columns[4:]),)
    ]


def find_position(connection: sqlite3.Connection, name: str) -> int:
    """Return the last seq that `name` is done with; -1 where it never read."""
    row = connection.execute("SELECT position FROM cursor WHERE name = ?", (name,)).fetchone()
    return -1 if row is None else int(row[0])


def store_sightings(connection: sqlite3.Connection, sightings: Mapping[str, Sighting]) -> None:
    """Write what beats have said since the last time, inside the open transaction."""
    connection.executemany(
        "UPDATE instance SET seen_ns = ? WHERE name = ?",
        [(seen_ns, name) for name, (seen_ns, _) in sightings.items()],
    )
    connection.executemany(
        "INSERT INTO cursor VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET position = excluded.position,"
        " moved_ns = excluded.moved_ns",
        [
            (name, position, seen_ns)
            for name, (seen_ns, position) in sightings.items()
            if position >= 0
        ],
    )
