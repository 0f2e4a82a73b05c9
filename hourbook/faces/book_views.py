"""The reading half of a Book: what it shows of entries, instances and their state. Asks nobody.

Every view is a thin face: what it means is in the module that it calls, loaded when it is used.
"""

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hourbook.book.as_of import seq_since
from hourbook.book.branches import MAIN, Branch, BranchDiff, diff_branches, list_branches, tail_of
from hourbook.book.diffing import InstanceDiff
from hourbook.book.digest import (
    Digest,
    DigestLimits,
    SessionState,
    digest_of,
    list_sessions,
)
from hourbook.book.entry_filter import EntryFilter, Wanted, make_filter
from hourbook.book.moment import MomentLike, parse_moment
from hourbook.book.proof.verify import StageProgress, Verdict
from hourbook.book.reader import BookReader
from hourbook.book.stamps import StampSource
from hourbook.faces.book_link import BookLink
from hourbook.faces.feed import Follower, check_since
from hourbook.faces.living import Living
from hourbook.faces.updates import Updates
from hourbook.home import Home
from hourbook.instance_view import InstanceStatus
from hourbook.timebase import SystemTimebase
from protocols import errors
from protocols.entry import Commit, Entry

if TYPE_CHECKING:
    from hourbook.book.book_view import BookView
    from hourbook.book.sql.query import Parameters, QueryResult
    from hourbook.context_text import ContextFormat

__all__ = ["BookViews"]

DIGEST_LIMITS: Final = DigestLimits()


class BookViews:
    """What can be read of one home's book; threads may share it."""

    home: Home
    _link: BookLink
    _on_branch: int = MAIN

    def __init__(self, home: Home, branch: str = "") -> None:
        """Open nothing yet."""
        self.home = home
        self.branch = branch
        self._reader: BookReader | None = None
        self._reader_lock = threading.Lock()
        self._followers: Living[Follower] = Living()
        self._updates: list[Updates] = []

    def tail(self, count: int = 10) -> list[Entry]:
        """Return the last `count` entries (>= 0) of our branch, oldest first."""
        number = self._on_branch
        return self._open_reader().query(lambda connection: tail_of(connection, number, count))

    def branches(self) -> list[Branch]:
        """Return every branch that there ever was, oldest first."""
        return self._open_reader().query(list_branches)

    def diff_branches(self, a: str, b: str, *, at: MomentLike | None = None) -> BranchDiff:
        """Return what two branches (or ``main``) do not share, and what both wrote about.

        Args:
            a: name of the one.
            b: name of the other.
            at: as of a seq, a time or a hash (:meth:`at`); None: of now.

        Raises:
            BadRequest, UnknownName, LimitExceeded: no such branch; they differ by too much.
            NotInBook: no such moment.
        """
        from hourbook.book.book_view import seq_at  # noqa: PLC0415 - few look back

        until_seq = None if at is None else seq_at(self.home, at)
        return self._open_reader().query(lambda opened: diff_branches(opened, a, b, until_seq))

    def head(self) -> Commit | None:
        """Return the last signed commit; None while the book is empty."""
        return self._open_reader().head()

    def follow(
        self,
        since: int | str | None = None,
        *,
        action: Wanted = None,
        entity: Wanted = None,
        writer: Wanted = None,
        kind: Wanted = None,
        tag: Wanted = None,
        session: Wanted = None,
        branch: int | None = -1,
    ) -> Follower:
        """Return an endless iterator over new entries: woken by the writer, polling nothing.

        Works with ``for`` and with ``async for``. Nothing is missed, however slow the follower;
        and its writer does not wait for it.

        Args:
            since: the last seq already seen (0: from the beginning); or a time in RFC 3339, after
                which entries are wanted; None: from now on.
            action: only entries with this text, or one of these texts; so for the others.
            entity: as `action`.
            writer: as `action`.
            kind: as `action`.
            tag: entries that have one of these.
            session: as `action`.
            branch: number; 0 is main, None is any, -1 the one that we are connected to.

        Raises:
            BadRequest, LimitExceeded: a filter or a `since` that no entry could fit.
            ActorUnreachable, BookMissing: there is nothing to follow yet.
        """
        wanted = make_filter(
            action=action,
            entity=entity,
            writer=writer,
            kind=kind,
            tag=tag,
            session=session,
            branch=self._on_branch if branch == -1 else branch,
        )
        follower = Follower(self.home, self._seq_of(since), wanted)
        self._followers.add(follower)
        return follower

    def updates(
        self, since: int | str | None = None, *, wanted: EntryFilter | None = None
    ) -> Updates:
        """Return an endless iterator over what this instance has not seen yet; it survives us.

        An entry is done with when the next one is asked for. A name that never read begins where
        it was registered. See ``hourbook.faces.updates``.

        Args:
            since: read again from here: a seq or a time, as in :meth:`follow`; None: go on.
            wanted: only these entries; the others count as done with.

        Raises:
            What :meth:`follow` raises; NameTaken: another process reads under this name.
            ActorUnreachable: to set the position back, journal_writer has to be told.
        """
        position = self._seq_of(since)
        if position is None:
            position = self._position()
        else:
            self._link.membership.beat(position, rewind=True)
        follower = Follower(self.home, position, wanted or make_filter())
        updates = Updates(follower, self._link.membership)
        self._updates.append(updates)  # kept: to close one says how far it came
        return updates

    def instances(self) -> list[InstanceStatus]:
        """Return who is there and who was, how far each has read: the living first."""
        from hourbook.instances import instance_statuses  # noqa: PLC0415 - asks by a socket

        return instance_statuses(self.home, self._open_reader())

    def diff(self, a: str, b: str) -> InstanceDiff:
        """Return what one instance is done with and another is not, and what both wrote.

        Raises:
            BadRequest, UnknownName: no name, or one that never was here.
        """
        from hourbook.instances import compare_instances  # noqa: PLC0415 - the same

        return compare_instances(self.home, self._open_reader(), a, b)

    def digest(self, session: str | None = None, *, limits: DigestLimits = DIGEST_LIMITS) -> Digest:
        """Return recent actions, the state of each entity, decisions, shared keys, who is there.

        Args:
            session: only what was written in this session.
            limits: how much of each.

        Raises:
            UnknownName: nothing was ever written in this session.
        """
        reader, now_ns = self._open_reader(), StampSource(self.home, SystemTimebase()).time_ns()
        return reader.query(lambda connection: digest_of(connection, session, limits, now_ns))

    def context(
        self,
        format: "ContextFormat" = "markdown",  # noqa: A002 - as the command calls it
        *,
        session: str | None = None,
        limits: DigestLimits = DIGEST_LIMITS,
    ) -> str:
        """Return :meth:`digest` as text to be put into an agent's context: markdown, json, compact.

        Raises:
            BadRequest: another format.
            UnknownName: nothing was ever written in this session.
        """
        from hourbook.context_text import render_digest  # noqa: PLC0415 - text only where wanted

        return render_digest(self.digest(session, limits=limits), format)

    def sessions(self) -> list[SessionState]:
        """Return every session that entries were written in, the last written first."""
        return self._open_reader().query(list_sessions)

    def query(
        self,
        sql: str,
        parameters: "Parameters" = (),
        *,
        at: MomentLike | None = None,
        branch: str | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
    ) -> "QueryResult":
        """Run one SELECT over the views that ``docs/SQL.md`` describes, read-only.

        Args:
            sql: one statement; values belong in `parameters`.
            parameters: for ``?`` in their order, or for ``:name`` by name.
            at: as of a seq, a time or a hash (:meth:`at`); None: of now.
            branch: only entries that this one, or ``main``, sees; None: of every branch.
            limit: rows at most (0..10^6, default 10 000); `is_truncated` says whether there are
                more.
            timeout_s: how long it may take (seconds, > 0, <= 60, default 5).

        Raises:
            BadRequest: no such SQL, more than reading the views, or parameters that do not fit.
            LimitExceeded: a value above 24 MiB, or a result above 128 MiB.
            QueryTimeout: it takes longer.
        """
        from hourbook.book.book_view import seq_at  # noqa: PLC0415 - few look back
        from hourbook.book.sql import query  # noqa: PLC0415 - few ask in SQL

        self._link.client.check_usable()
        return query.run_query(
            self.home,
            sql,
            parameters,
            at_seq=None if at is None else seq_at(self.home, at),
            branch=branch,
            limit=query.ROWS_DEFAULT if limit is None else limit,
            timeout_s=query.TIMEOUT_DEFAULT_S if timeout_s is None else timeout_s,
        )

    def at(self, moment: MomentLike) -> "BookView":
        """Return our branch as it was: a view with `tail`, `entry`, `since` and `query`.

        Args:
            moment: a seq, a time (RFC 3339, a number since 1970 or a `datetime`), a hash of 8 to 64
                hex digits or as bytes (``hourbook.book.moment``). A time means the last commit that
                is not later; a seq or a hash the commit that holds it.

        Raises:
            BadRequest: none of these, or a hash that several begin with.
            NotInBook: no such seq or hash, a time before the book began, or one to come.
            UnknownName: our branch was not there then.
        """
        from hourbook.book.book_view import view_at  # noqa: PLC0415 - few look back

        return view_at(self.home, self._open_reader(), moment, self.branch)

    def verify(
        self,
        *,
        from_commit: int = 1,
        all_signatures: bool = False,
        against: str | os.PathLike[str] | None = None,
        progress: StageProgress | None = None,
    ) -> Verdict:
        """Check every hash, link and range, and the signatures (``hourbook.book.proof.verify``).

        Args:
            from_commit: the first commit to check; what is before it is taken as given.
            all_signatures: each one, not only of every 1000th commit and of the head.
            against: a file of heads that were kept elsewhere, which the book must hold.
            progress: called now and then with ("verifying", entries checked, entries to check),
                then with ("archive", files checked, files).

        Raises:
            BadRequest, LimitExceeded: `against` is no file of heads.
        """
        witnesses = []
        if against is not None:
            from hourbook.book.proof.witness import load_witnesses  # noqa: PLC0415 - needed here alone

            witnesses = load_witnesses(Path(against))
        return self._open_reader().verify(
            from_commit=from_commit,
            all_signatures=all_signatures,
            witnesses=witnesses,
            progress=progress,
        )

    def _seq_of(self, since: int | str | None) -> int | None:
        """Return the seq after which `since` begins."""
        if since is None:
            return None
        if isinstance(since, int):
            return check_since(since)
        moment = parse_moment(since, "since")
        return self._open_reader().query(lambda opened: seq_since(self.home, opened, moment))

    def _position(self) -> int:
        """Return how far this name has read; where it never did, the head."""
        known = self._link.membership.position()
        if known < 0:
            known = self._open_reader().query(self._link.membership.stored_position)
        if known < 0:
            known = self._open_reader().head_seq()
            with contextlib.suppress(errors.WorldError, errors.OperatorError):
                self._link.membership.beat(known)
        return known

    def _open_reader(self) -> BookReader:
        self._link.client.check_usable()
        with self._reader_lock:
            if self._reader is None:
                self._reader = BookReader(self.home)
            return self._reader

    def _close_views(self) -> None:
        for follower in self._followers.all():
            follower.close()
        for updates in self._updates:
            updates.close()
        with self._reader_lock:
            if self._reader is not None:
                self._reader.close()
