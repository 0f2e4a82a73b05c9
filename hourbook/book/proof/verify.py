"""Does a book still say what was written and signed? Reads only, a page of rows at a time.

Checked: the hash of every entry over its own columns, the link to the one before, the sequence
without gaps, that no nonce was written twice; every commit's range, its head hash and its link to
the commit before; and the signatures of the first commit, of every 1000th, of the head, and of both
on either side of a change of key (each one with `all_signatures`). The head's signature covers
everything before it, so the rest are there to find *where* a rewritten history begins.

A key may only be followed by the one that an entry of kind ``key.rotate`` names, and from the next
commit on: so the old key signs for the new one. The new one signs for what it follows too, in that
entry: else whoever rewrites a book under a key of his own could end it with the name of the site's.

The first wrong thing is reported and ends the run: what follows it proves nothing.
"""

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final

import msgspec

from hourbook.book.proof.key_chain import is_vouched_for, named_key
from hourbook.book.proof.keys import is_signed_by
from hourbook.book.rows import COMMIT_COLUMNS, commit_from_row, find_commit
from protocols import entry
from protocols.key_messages import KEY_ROTATE

__all__ = ["SIGNATURE_STRIDE", "Progress", "StageProgress", "Verdict", "verify_book"]

SIGNATURE_STRIDE: Final = 1000
PAGE_ENTRIES: Final = 10_000
"""Rows of one read transaction: 30 ms, so that it never holds a checkpoint up."""
PAGE_NS: Final = 1_000_000_000
"""Where entries are large a page ends after so long, with the commit under way."""
PAGE_COMMITS: Final = 1000

Progress = Callable[[int, int], None]
"""Called now and then with (entries checked, entries to check)."""
StageProgress = Callable[[str, int, int], None]
"""Called now and then with (what is being done, how much of it is done, how much there is)."""

_encode = msgspec.msgpack.Encoder().encode
_sha256 = hashlib.sha256
_Raw = msgspec.Raw
_NO_TAGS: Final = b"\x90"
_SALTED: Final = "CAST(salt || details AS BLOB)"
"""What is hashed, joined by SQLite, which is cheaper than handing both over."""
_SELECT_ENTRIES: Final = (
    "SELECT seq, time_ns, bound_ns, hlc, branch, writer, session, nonce, kind, action, entity,"  # noqa: S608 - constants
    f" tags, iif(details_hash IS NULL, {_SALTED}, coalesce(salt, details)), details_hash,"
    " parent_hash, hash FROM entry WHERE seq > ? ORDER BY seq LIMIT ?"
)
_SELECT_COMMITS: Final = (
    f"SELECT {COMMIT_COLUMNS} FROM signed_commit WHERE last_seq > ?"  # noqa: S608 - constants
    " ORDER BY last_seq LIMIT ?"
)
_COUNT_NONCES: Final = "SELECT count(*) FROM entry INDEXED BY entry_nonce WHERE seq <= ?"
_ENTRY_HASH: Final = _sha256(entry.ENTRY_DOMAIN)
"""Copied for each entry, which saves joining the domain and the canonical bytes."""
_LAST: Final = b"\xff" * entry.NONCE_SIZE
"""Stands for what is not known yet: a writer's first nonce in a run is always looked up."""
_FIRST_USE: Final = "SELECT min(seq) FROM entry WHERE writer = ? AND nonce = ?"


class Verdict(msgspec.Struct, frozen=True):
    """What a verification found; the JSON of ``hourbook verify``.

    Attributes:
        ok: everything that was checked holds.
        entries: checked, up to the first bad one.
        commits: checked.
        first_bad_seq: the first entry that is wrong, or lies in a commit that is; None when ok,
            or for `archive`.
        problem: what is wrong with it, or "".
        seconds: how long it took.
        finding: in a word: ``damaged``, ``truncated`` where the commit to begin with is not there,
            ``archive`` where the chain holds and details outside of it do not
            (``hourbook.book.archive.check``), ``store`` where it holds and the store's tables do
            not say what the entries do (``hourbook.book.store.rebuild``), or what a witness showed
            (``hourbook.book.proof.witness.Mismatch``); "" when ok.
        witnesses: heads kept elsewhere that the book was compared with.
        signatures: checked, of commits.
        detached: of the entries checked, those whose details are no longer in the database.
        unexplained: of those, how many were dropped in the name of an entry that a restore to an
            earlier state has cut off: that they were is not signed any more.
    """

    ok: bool
    entries: int
    commits: int
    first_bad_seq: int | None
    problem: str
    seconds: float
    finding: str = ""
    witnesses: int = 0
    signatures: int = 0
    detached: int = 0
    unexplained: int = 0


class _Bad(Exception):  # noqa: N818 - a finding, not an error of the program
    def __init__(self, seq: int, problem: str, finding: str = "damaged") -> None:
        super().__init__(problem)
        self.seq = seq
        self.problem = problem
        self.finding = finding


def verify_book(
    connection: sqlite3.Connection,
    *,
    from_commit: int = 1,
    all_signatures: bool = False,
    trusted_key: bytes | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Verify a book from a commit to its head as it is when the run begins.

    Args:
        connection: open on the book; reading is enough.
        from_commit: the first commit to check (>= 1); what is before it is taken as given.
        all_signatures: check the signature of every commit (about 50 us each).
        trusted_key: the site's public key, from outside the database. It must have signed the
            head, or an earlier commit of this run: then every later key was named by it. Or it is
            named by the head, and vouches for it.
        progress: told after each page.
    """
    started_ns = time.monotonic_ns()
    run = _Run(connection, from_commit, all_signatures=all_signatures, trusted_key=trusted_key)
    bad_seq, problem, finding = None, "", ""
    try:
        run.check(progress)
    except _Bad as bad:
        bad_seq, problem, finding = bad.seq, bad.problem, bad.finding
    except (sqlite3.DatabaseError, msgspec.MsgspecError, TypeError, OverflowError) as error:
        bad_seq, problem, finding = run.seq + 1, f"unreadable: {error}", "damaged"
    seconds = (time.monotonic_ns() - started_ns) / 1e9
    entries = run.seq - run.seq_before
    return Verdict(
        ok=bad_seq is None,
        entries=entries,
        commits=run.commits,
        first_bad_seq=bad_seq,
        problem=problem,
        seconds=round(seconds, 6),
        finding=finding,
        signatures=run.signatures,
        detached=run.detached,
    )


class _Run:
    """One walk: commits lead, and each checks the entries it signed."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        from_commit: int,
        *,
        all_signatures: bool,
        trusted_key: bytes | None,
    ) -> None:
        self._connection = connection
        self._from_commit = from_commit
        self._all_signatures = all_signatures
        self._trusted_key = trusted_key
        self.commits = self.signatures = self.detached = 0
        self.seq = self.seq_before = 0
        self._hash = entry.GENESIS_HASH
        self._commit: entry.Commit | None = None
        self._commit_id = entry.GENESIS_HASH
        self._keys_seen: set[bytes] = set()
        self._named_key = ""
        self._highest: dict[str, bytes] = {}
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self._page: sqlite3.Cursor | None = None
        self._page_began_ns = 0

    def check(self, progress: Progress | None) -> None:
        """Walk from the first commit to the one that is last now; raise _Bad at the first fault."""
        last = self._connection.execute(
            f"SELECT {COMMIT_COLUMNS} FROM signed_commit ORDER BY last_seq DESC LIMIT 1"  # noqa: S608 - constants
        ).fetchone()
        if last is None:
            self._check_nothing_beyond()
            return
        head = commit_from_row(last)
        if self._from_commit > 1:
            self._take_as_given(self._from_commit - 1, head)
        self._rows = chain.from_iterable(self._entry_pages(head.last_seq, progress))
        for commit in self._commit_rows(self.seq, head.last_seq):
            self._check_commit(commit, is_head=commit.commit_no == head.commit_no)
            self._check_entries(commit)
            self.commits += 1
            if self._page is not None and time.monotonic_ns() - self._page_began_ns > PAGE_NS:
                self._page.close()
                self._rows = chain.from_iterable(self._entry_pages(head.last_seq, progress))
        if progress is not None:
            progress(self.seq - self.seq_before, head.last_seq - self.seq_before)
        self._check_trusted(head)
        if self._commit is None or self._commit.commit_no != head.commit_no:
            raise _Bad(self.seq + 1, f"commits are missing before commit {head.commit_no}")
        self._check_nothing_beyond()
        if self._from_commit == 1:
            self._check_nonces(head.last_seq)

    def _take_as_given(self, commit_no: int, head: entry.Commit) -> None:
        commit = find_commit(self._connection, commit_no)
        if commit is None:
            problem = f"there is no commit {commit_no}: the book ends with {head.commit_no}"
            raise _Bad(head.last_seq + 1, problem, "truncated")
        self._commit = commit
        self._keys_seen.add(commit.key)
        self._named_key = named_key(self._connection, commit) or ""
        self._commit_id = entry.commit_id(entry.commit_header(commit), commit.signature)
        self.seq = self.seq_before = commit.last_seq
        self._hash = commit.head_hash

    def _commit_rows(self, after_seq: int, last_seq: int) -> Iterator[entry.Commit]:
        """Yield the commits that end after `after_seq`, up to the one that ends at `last_seq`."""
        while after_seq < last_seq:
            rows = self._connection.execute(_SELECT_COMMITS, (after_seq, PAGE_COMMITS)).fetchall()
            if not rows:
                return
            for row in rows:
                after_seq = row[2]
                if after_seq > last_seq:
                    return
                yield commit_from_row(row)

    def _entry_pages(self, last_seq: int, progress: Progress | None) -> Iterator[sqlite3.Cursor]:
        """Yield a cursor for each page, a read transaction of its own; rows are checked one by one.

        Rows are not gathered first: where SQLite cannot read one, those before it still count.
        """
        while (position := self.seq) < last_seq:
            if progress is not None:
                progress(position - self.seq_before, last_seq - self.seq_before)
            self._page_began_ns = time.monotonic_ns()
            count = min(PAGE_ENTRIES, last_seq - position)
            self._page = self._connection.execute(_SELECT_ENTRIES, (position, count))
            yield self._page
            if self.seq == position:
                return

    def _check_commit(self, commit: entry.Commit, *, is_head: bool) -> None:
        before, first_seq = self._commit, self.seq + 1
        expected_no = 1 if before is None else before.commit_no + 1
        if commit.commit_no != expected_no:
            raise _Bad(first_seq, f"commit {expected_no} is missing")
        header = entry.commit_header(commit)
        if commit.prev_commit != self._commit_id:
            # Either this commit was changed or the one before: the wrong one does not verify.
            if before is not None and not _is_signed(before):
                raise _Bad(before.first_seq, f"commit {before.commit_no} was changed")
            raise _Bad(first_seq, f"commit {commit.commit_no} does not follow the one before")
        if commit.first_seq != first_seq or commit.last_seq < first_seq:
            raise _Bad(
                first_seq,
                f"commit {commit.commit_no} holds {commit.first_seq}..{commit.last_seq},"
                f" expected it to begin at {first_seq}",
            )
        is_new_key = before is not None and self._check_key(before, commit)
        is_due = commit.commit_no == 1 or commit.commit_no % SIGNATURE_STRIDE == 0
        if is_head or is_due or is_new_key or self._all_signatures:
            if not _is_signed(commit):
                raise _Bad(first_seq, f"the signature of commit {commit.commit_no} is wrong")
            self.signatures += 1
        self._keys_seen.add(commit.key)
        self._commit = commit
        self._commit_id = entry.commit_id(header, commit.signature)

    def _check_key(self, before: entry.Commit, commit: entry.Commit) -> bool:
        """Check that a commit is signed by the key that the one before demands; return if new."""
        if commit.key.hex() != (self._named_key or before.key.hex()):
            whose = "the key that was named for it" if self._named_key else "the one before's key"
            problem = f"commit {commit.commit_no} is signed by another key than {whose}"
            raise _Bad(commit.first_seq, problem)
        if commit.key == before.key:
            return False
        if not _is_signed(before):
            raise _Bad(before.first_seq, f"the signature of commit {before.commit_no} is wrong")
        return True

    def _check_trusted(self, head: entry.Commit) -> None:
        trusted = self._trusted_key
        if trusted is None or trusted in self._keys_seen:
            return
        if trusted.hex() != self._named_key:
            problem = f"nothing up to commit {head.commit_no} is signed by this site's key"
            raise _Bad(self.seq_before + 1, problem)
        if not is_vouched_for(self._connection, head, trusted):
            problem = (
                f"commit {head.commit_no} names this site's key for the next one,"
                " and that key does not vouch for what is before it"
            )
            raise _Bad(self.seq_before + 1, problem)

    def _check_entries(self, commit: entry.Commit) -> None:
        """Check the entries of one commit: 3 us each, so without a call or an attribute for one."""
        expected, parent, last_seq, highest = self.seq, self._hash, commit.last_seq, self._highest
        encode, sha256, begun, version = _encode, _sha256, _ENTRY_HASH.copy, entry.ENTRY_FORMAT
        self._named_key, key_rotate, detached = "", KEY_ROTATE, self.detached
        for (
            seq, time_ns, bound_ns, hlc, branch, writer, session, nonce, kind, action, entity,
            tags, salted, digest, stated_parent, stated_hash,
        ) in self._rows:  # fmt: skip
            expected += 1
            if seq != expected:
                raise _Bad(expected, f"it is missing: seq {seq} follows {expected - 1}")
            if (salted is None) is (digest is None):
                raise _Bad(seq, "it has neither details with salt, nor their hash instead")
            detached += salted is None
            canonical = encode(
                (
                    version, seq, time_ns, bound_ns, hlc, branch, writer, session, nonce, kind,
                    action, entity, () if tags == _NO_TAGS else _Raw(tags),
                    sha256(salted).digest() if digest is None else digest, stated_parent,
                )
            )  # fmt: skip
            state = begun()
            state.update(canonical)
            if state.digest() != stated_hash:
                raise _Bad(seq, "its hash is not that of its content")
            if stated_parent != parent:
                raise _Bad(seq, f"its parent_hash is not the hash of seq {seq - 1}")
            if nonce > highest.get(writer, _LAST):
                highest[writer] = nonce
            else:
                self._check_first_use(writer, nonce, seq)
            if kind == key_rotate:
                self._named_key = entity
            parent, self.seq = stated_hash, seq
            if seq == last_seq:
                break
        else:
            raise _Bad(expected + 1, f"it is missing: commit {commit.commit_no} ends at {last_seq}")
        self._hash, self.detached = parent, detached
        if parent != commit.head_hash:
            raise _Bad(commit.first_seq, f"commit {commit.commit_no} signed another history")

    def _check_nonces(self, last_seq: int) -> None:
        """Read the whole index of nonces: the writer asks it at every append, readers never."""
        (count,) = self._connection.execute(_COUNT_NONCES, (last_seq,)).fetchone()
        if count != last_seq:
            raise _Bad(last_seq, f"the index of nonces holds {count} of {last_seq} entries")

    def _check_first_use(self, writer: str, nonce: bytes, seq: int) -> None:
        """Look a nonce up that is not above all before it; almost all are, so few come here."""
        self._highest.setdefault(writer, nonce)
        first = self._connection.execute(_FIRST_USE, (writer, nonce)).fetchone()[0]
        if first is not None and first < seq:
            raise _Bad(seq, f"its nonce was already written at seq {first}")

    def _check_nothing_beyond(self) -> None:
        # One statement, one snapshot: commits made since the run began are not "beyond".
        extra = self._connection.execute(
            "SELECT * FROM (SELECT seq FROM entry WHERE seq < 1 ORDER BY seq LIMIT 1)"
            " UNION ALL SELECT * FROM (SELECT seq FROM entry WHERE seq >"
            " (SELECT coalesce(max(last_seq), 0) FROM signed_commit) ORDER BY seq LIMIT 1)"
        ).fetchone()
        if extra is not None:
            raise _Bad(extra[0], "it belongs to no commit")


def _is_signed(commit: entry.Commit) -> bool:
    return is_signed_by(commit.key, entry.commit_header(commit), commit.signature)
