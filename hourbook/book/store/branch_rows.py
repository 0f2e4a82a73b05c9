"""What a branch holds: its own last word of a key, else its parent's up to where it began.

A branch has no table of current rows, only its log; what a group writes there is known until the
group ends, since its entries are not in the book before that. Those of its parents are: a branch
begins, and is merged, where a group does (``ChangeKind.begins_group``).
"""

import sqlite3
from typing import Any, Final

from hourbook.book.archive.detached import attach_beside
from hourbook.book.branches import view_of
from hourbook.book.rows import ENTRY_COLUMNS, entry_from_row
from hourbook.book.store.rows import (
    INSERT_LOG,
    KV_SET,
    KvRow,
    decode_details,
    row_of_details,
    unpack_value,
)
from hourbook.book.store.stage import Draft, Name
from protocols import errors

__all__ = ["BranchRows", "row_of_entry"]

_LAST: Final = "SELECT max(seq) FROM kv_log WHERE branch = ? AND ns = ? AND key = ? AND seq <= ?"
_ENTRY: Final = f"SELECT {ENTRY_COLUMNS} FROM entry WHERE seq = ?"  # noqa: S608 - constants
_LIVING: Final = "SELECT 1 FROM branch WHERE number = ? AND deleted_seq IS NULL"


def row_of_entry(connection: sqlite3.Connection, name: Name, seq: int) -> KvRow | None:
    """Return what a key holds after the entry `seq` about it; None: nothing.

    Raises:
        NotInBook: it is not in the book yet.
        ArchiveDamaged: its details are in a file that cannot be read.
    """
    found: Any = connection.execute(_ENTRY, (seq,)).fetchone()
    if found is None:
        raise errors.NotInBook(f"Expected entry {seq}, got none", field="seq", value=str(seq))
    (entry,) = attach_beside(connection, [entry_from_row(found)])
    if entry.kind != KV_SET:
        return None
    if entry.details_raw is None:
        if entry.missing is not None and entry.missing.cause == "unreadable":
            raise errors.ArchiveDamaged(f"Expected what {entry.entity} held: {entry.missing.why}")
        return KvRow(*name, seq, seq, "persistent", None, 0, None, None)
    return row_of_details(*name, seq, decode_details(entry.details_raw))


class BranchRows:
    """One branch, within one group."""

    def __init__(self, connection: sqlite3.Connection, number: int) -> None:
        """Look into a branch.

        Args:
            connection: inside the transaction.
            number: of the branch.

        Raises:
            UnknownName: there is no such branch.
        """
        if connection.execute(_LIVING, (number,)).fetchone() is None:
            raise errors.UnknownName(
                f"Expected the number of a branch, got {number}", field="branch", value=str(number)
            )
        self._connection, self._number = connection, number
        self.rows: dict[Name, KvRow | None] = {}

    def find(self, name: Name) -> KvRow | None:
        """Return what a key holds on the branch."""
        if name in self.rows:
            return self.rows[name]
        for stretch in view_of(self._connection, self._number):
            asked = (stretch.number, *name, stretch.last_seq)
            (seq,) = self._connection.execute(_LAST, asked).fetchone()
            if seq is not None:
                return row_of_entry(self._connection, name, seq)
        return None

    def load(self, name: Name) -> bytes | None:
        """Return the MessagePack value of a key; None: redacted."""
        row = self.find(name)
        if row is None or row.value is None:
            return None
        return unpack_value(row.encoding, row.value, row.key)

    def draft(self) -> Draft:
        """Return what a change may work on."""
        return Draft(self, self._number)

    def merge(self, draft: Draft) -> None:
        """Take over what a change has done, and write its log."""
        self.rows.update(draft.changed)
        self._connection.executemany(INSERT_LOG, draft.log)
