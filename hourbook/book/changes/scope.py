"""What changes may see and do, inside the transaction of their group.

A change is applied before its entries are hashed, and after everything that stands before it in its
group: what it reads is what it follows. It may use the connection for any SQL but the ends of
transactions, and records the entries that it means; their seq is known at once.
"""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from hourbook.book.archive.shelf import ArchiveShelf
from hourbook.book.journal import Row, Stamp
from hourbook.book.nonces import nonce_after
from hourbook.book.proof.key_ring import KeyRing
from hourbook.book.store.key_files import KeyFiles
from protocols import entry, errors
from protocols.book_messages import Append, NewEntry
from protocols.change import CHANGE_NONCES, Change

__all__ = ["ChangeKind", "Scope"]

ChangeT = TypeVar("ChangeT", bound=Change)
_MAIN: Final = 0


class Scope:
    """The changes of one group at work, one after the other.

    Attributes:
        connection: of the writer, inside the group's transaction.
        stamp: the clock's answer for this group, which its entries carry (nanoseconds).
        keys: what signs, and where the next key is made.
        shelf: the files of the archive.
        store: the keys of the store, as this group has them.
        head_seq: the last seq of the book as the change at work sees it, its own entries included.
        request: the change at work.
        count: how many entries it has recorded so far.
        is_volatile: what it does is not journaled: its outcome is kept with the volatile keys.
        keeps_outcome: the entries do not tell the answer to a resend: it must be kept.
        appends: of the whole group; what changes recorded, as the requests that would have
            written it.
    """

    __slots__ = (
        "appends",
        "connection",
        "count",
        "head_seq",
        "is_volatile",
        "keeps_outcome",
        "keys",
        "request",
        "shelf",
        "stamp",
        "store",
    )

    request: Change

    def __init__(
        self,
        connection: sqlite3.Connection,
        head_seq: int,
        stamp: Stamp,
        keys: KeyRing,
        shelf: ArchiveShelf,
        store: KeyFiles,
    ) -> None:
        """Begin a group that follows the entry `head_seq`."""
        self.connection, self.stamp, self.keys, self.shelf = connection, stamp, keys, shelf
        self.store, self.head_seq, self.count = store, head_seq, 0
        self.keeps_outcome = self.is_volatile = False
        self.appends: list[Append] = []

    def add(self, request: Append) -> None:
        """Take in a plain append between two changes."""
        self.appends.append(request)
        self.head_seq += len(request.entries)

    def undo(self) -> None:
        """Forget what the change at work has recorded and done to keys: it was refused."""
        self.head_seq -= self.count
        while self.count:
            self.count -= len(self.appends.pop().entries)
        self.store.undo()

    def record(
        self,
        kind: str,
        action: str,
        entity: str,
        details: object = None,
        *,
        tags: Iterable[str] = (),
        branch: int = _MAIN,
    ) -> int:
        """Mean one entry, written by who asked for the change; return its seq.

        Raises:
            LimitExceeded: more than CHANGE_NONCES entries.
            BadRequest: details that cannot be encoded.
        """
        raw = entry.DETAILS_NONE if details is None else entry.encode_value(details, "details")
        return self.record_raw(
            NewEntry(action, entity, msgspec.Raw(raw), tuple(tags), kind), branch
        )

    def record_raw(self, new: NewEntry, branch: int = _MAIN) -> int:
        """Mean one entry whose details are encoded already; return its seq."""
        count, appends = self.count, self.appends
        if count == CHANGE_NONCES:
            raise errors.LimitExceeded(
                f"Expected a change of at most {CHANGE_NONCES} entries, got more", field="entries"
            )
        if count and appends[-1].branch == branch:
            appends[-1].entries.append(new)
        else:
            request = self.request
            nonce = nonce_after(request.nonce, count) if count else request.nonce
            appends.append(
                Append(
                    request.writer, nonce, [new], "durable", request.session, branch, request.hlc
                )
            )
        self.count = count + 1
        self.head_seq += 1
        return self.head_seq


@dataclass(frozen=True, slots=True)
class ChangeKind(Generic[ChangeT]):
    """One kind of change.

    Attributes:
        name: on the wire.
        request: the struct of its body.
        check: refuses what is wrong whatever the book holds; called before the request is queued.
        apply: does it and returns the answer. A HourbookError refuses it, and undoes what it has
            done.
        replay: where given, answers a resend from the rows of the entries that it recorded, and
            answers of changes that recorded any are not stored: for kinds that are many.
        is_staged: it works on the store's stage and reads tables, but changes none: a refusal that
            it raises has nothing to undo in them.
        begins_group: it reads entries, which are in the book once their group is: whatever came
            before it is written before it is applied.
        ends_groups: an append that was let in by what the book held may not be so after it: it is
            written before anything else is heard.
    """

    name: str
    request: type[ChangeT]
    check: Callable[[ChangeT], None]
    apply: Callable[[ChangeT, Scope], msgspec.Struct]
    replay: Callable[[ChangeT, list[Row]], Any] | None = None
    is_staged: bool = False
    begins_group: bool = False
    ends_groups: bool = False
