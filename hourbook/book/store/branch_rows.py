"""What a branch holds: its own last word of a key, else its parent's up to where it began.

A branch has no table of current rows, only its log; what a group writes there is known until the
group ends, since its entries are not in the book before that. Those of its parents are: a branch
begins, and is merged, where a group does (``ChangeKind.begins_group``).
"""

import sqlite3
from typing import Any, Final

from hourbook.book.archive.detached import attach_beside
from hourbook.book.branches import view_of
from hourbook.book.packed_rows import insert, pack
from hourbook.book.rows import FIND_ENTRY, entry_from_row
from hourbook.book.store.rows import (
    FIND_LAST,
    INSERT_LOG,
    KV_SET,
    KvRow,
    decode_details,
    row_of_details,
)
from hourbook.book.store.stage import KeyRows, Name
from protocols import errors

__all__ = ["BranchRows", "row_of_entry"]

_LIVING: Final = "SELECT 1 FROM branch WHERE number = ? AND deleted_seq IS NULL"


def row_of_entry(connection: sqlite3.Connection, name: Name, seq: int) -> KvRow | None:
    """Return what a key holds after the entry `seq` about it; None: nothing.

    Raises:
        NotInBook: it is not in the book yet.
        ArchiveDamaged: its details are in a file that cannot be read.
    """
    found: Any = connection.execute(FIND_ENTRY, (seq,)).fetchone()
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


class BranchRows(KeyRows):
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
        super().__init__(number)
        self._connection = connection

    def keep(self) -> None:
        """Take over what the change at work has done, and write its log."""
        self._rows |= self.draft
        self.draft = {}
        insert(self._connection, INSERT_LOG, list(map(pack, self._log)))
        self._log = []

    def _read(self, name: Name) -> KvRow | None:
        for stretch in view_of(self._connection, self.branch):
            asked = (stretch.number, *name, stretch.last_seq)
            (seq,) = self._connection.execute(FIND_LAST, asked).fetchone()
            if seq is not None:
                return row_of_entry(self._connection, name, seq)
        return None

    def _load(self, name: Name) -> bytes | None:
        raise AssertionError(f"rows of a branch are read with their values: {name}")
