"""The keeping half of a Book: what may be done to entries that stand already. Asks journal_writer.

Nothing is ever unsaid: each of these writes an entry that says what was done, why and by whom.
"""

from typing import Any, TypeVar

import msgspec

from hourbook.book.book_view import seq_at
from hourbook.book.branches import branch_number
from hourbook.book.moment import MomentLike
from hourbook.book.reader import BookReader
from hourbook.faces.book_link import BookLink
from hourbook.home import Home
from protocols import errors
from protocols.branch_messages import (
    BRANCH_CREATE,
    BRANCH_DELETE,
    BRANCH_MERGE,
    MAIN_NAME,
    CreateBranch,
    CreatedBranch,
    DeleteBranch,
    DeletedBranch,
    MergeBranch,
    MergedBranch,
    Strategy,
)
from protocols.change import Change
from protocols.keep_messages import BOOK_REDACT, Redact, Redaction

__all__ = ["BookKeeping"]

_T = TypeVar("_T")


class BookKeeping:
    """What a connection to the book can do beside writing and reading it."""

    home: Home
    _link: BookLink

    def redact(self, seq: int, why: str) -> Redaction:
        """Drop the details of one entry for good, from the book and from its archive.

        They can be had no more from anywhere but backups that were made before (and, on some
        disks, from blocks that were written over). What was done to what, by whom and when stays,
        and the chain verifies as before. `why` stays too, for ever: it must not repeat a secret.
        Asked again, the first redaction is returned.

        Args:
            seq: of an entry that an instance wrote.
            why: 1 B to 1 KiB.

        Raises:
            NotInBook: there is no such entry.
            BadRequest, LimitExceeded: it is the book's own record; or `why` does not fit.
            ArchiveDamaged: its archive file cannot be read, so nothing was dropped.
            DiskFull: an archive file could not be made anew; nothing was dropped.
            What :meth:`Book.log` raises.
        """
        return self._change(Redact, BOOK_REDACT, Redaction, seq=seq, why=why)

    def create_branch(
        self, name: str, *, at: MomentLike | None = None, parent: str = ""
    ) -> CreatedBranch:
        """Begin a branch: what is written on it nobody sees who does not ask for it.

        Args:
            name: ``[a-z0-9._-]{1,64}``, not ``main``.
            at: a seq, a time or a hash: the last that it sees of its parent; None: all so far.
            parent: name of the branch that it comes from; "" is main.

        Raises:
            AlreadyPresent: a branch is called so.
            UnknownName, NotInBook: no such parent, or moment.
            LimitExceeded: branches of branches of branches.
            What :meth:`Book.log` raises.
        """
        base_seq = 0 if at is None else seq_at(self.home, at)
        number = self._branch_number(parent)
        return self._change(
            CreateBranch, BRANCH_CREATE, CreatedBranch, name=name, parent=number, base_seq=base_seq
        )

    def merge_branch(self, name: str, strategy: Strategy = "") -> MergedBranch:
        """Bring what was written on a branch to its parent, as entries of ours; it goes on.

        Args:
            name: of the branch.
            strategy: for entities that both have written about since they parted: `ours` leaves
                the branch's entries about them behind, `theirs` brings them along, after the
                parent's, `both` does so with the tag ``conflict``; "" refuses.

        Raises:
            BranchConflict: there are such entities; the message names them.
            UnknownName: there is no such branch.
            LimitExceeded: more than 100 000 entries, or 128 MiB of details.
            ArchiveDamaged: details cannot be read that would be lost on the way.
            What :meth:`Book.log` raises.
        """
        return self._change(MergeBranch, BRANCH_MERGE, MergedBranch, name=name, strategy=strategy)

    def delete_branch(self, name: str) -> DeletedBranch:
        """End a branch. Its entries stay in the book, and its name is free.

        Raises:
            UnknownName: there is no such branch.
            BadRequest: another branch comes from it.
            What :meth:`Book.log` raises.
        """
        return self._change(DeleteBranch, BRANCH_DELETE, DeletedBranch, name=name)

    def _branch_number(self, name: str) -> int:
        """Return the number of the branch of a name ("", ``main``: 0); raises UnknownName."""
        if name in ("", MAIN_NAME):  # which is there before there is a book
            return 0
        with BookReader(self.home) as reader:
            return reader.query(lambda connection: branch_number(connection, name))

    def _change(
        self,
        change: type[Change],
        kind: str,
        answer: type[_T],
        **fields: Any,  # noqa: ANN401 - of the change
    ) -> _T:
        """Have a change made, and return its answer.

        Raises:
            BadRequest: a field is of another type than its change wants; nothing was sent.
        """
        self._link.client.check_usable()
        _check_fields(change, fields)
        envelope = self._link.change(kind, change, **fields).wait()
        return msgspec.msgpack.decode(envelope.body, type=answer)


def _check_fields(change: type[Change], fields: dict[str, Any]) -> None:
    """Check what was given against the types of the change, while the caller still listens."""
    for known in msgspec.structs.fields(change):
        if known.name not in fields:
            continue
        value = fields[known.name]
        try:
            raw = msgspec.msgpack.encode(value)
            msgspec.msgpack.decode(raw, type=known.type)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
            raise errors.BadRequest(
                f"Expected `{known.name}` that fits, got {value!a}: {error}", field=known.name
            ) from None
