"""The one writer of the book: whole groups, every nonce once, and what it refuses to open."""

import sqlite3
import stat
from pathlib import Path

import msgspec
import pytest
from books import STAMP, append, new, open_writer, raw_connection, write_book

from hourbook.book import journal, schema
from hourbook.book.proof.keys import SiteKey
from hourbook.book.reader import BookReader
from hourbook.book.rows import entry_from_row
from hourbook.book.writer import RESEND_WINDOW_NS
from hourbook.home import Home
from protocols import entry, errors
from protocols.book_messages import Append

NOW_NS = STAMP.time_ns


def test_sequence_writes_the_hash_that_the_protocol_defines(home: Home) -> None:
    """The fast loop and the plain definition of an entry's hash agree, with tags and without."""
    tagged = msgspec.structs.replace(new("a", "b", {"x": 1}), tags=("t", "u"))
    request = Append("agent", entry.make_nonce(1, 1), [new(), tagged], session="s", hlc=0)
    writer = open_writer(home)

    rows = writer.commit([request], STAMP)

    entries = [entry_from_row(row) for row in rows]
    assert [entry.entry_hash(entry.canonical_bytes(e)) for e in entries] == [
        e.hash for e in entries
    ]
    assert entries[1].parent_hash == entries[0].hash
    assert entries[1].tags == ("t", "u")
    assert entries[1].details == {"x": 1}
    writer.close()


def test_hlc_rises_with_every_entry_and_follows_its_writer(home: Home) -> None:
    """Entries of one instant get rising numbers, above what their writer had seen."""
    ahead = STAMP.time_ns + 5_000_000_000
    writer = open_writer(home)

    rows = writer.commit([append(1, 2), msgspec.structs.replace(append(3), hlc=ahead)], STAMP)

    first, second, third = (row[3] for row in rows)
    assert first < second < third
    assert third > ahead
    writer.close()


def test_order_is_seq_when_the_clock_steps_back_an_hour(home: Home) -> None:
    """A clock that steps back changes times, never the order, the hlc's rise or the chain."""
    writer = open_writer(home)
    writer.commit([append(1)], STAMP)

    writer.commit([append(2)], journal.Stamp(STAMP.time_ns - 3_600_000_000_000, -1))
    writer.close()

    with BookReader(home) as reader:
        one, two = reader.tail(2)
        assert two.time_ns < one.time_ns
        assert (two.seq, two.hlc > one.hlc, two.bound_ns) == (2, True, -1)
        assert reader.verify(all_signatures=True).ok


def test_reopened_book_goes_on_where_it_ended(home: Home) -> None:
    """Seq, chain and commits continue over a restart of the writer."""
    write_book(home, [1, 3])
    writer = open_writer(home)

    rows = writer.commit([append(5)], STAMP)
    writer.close()

    assert rows[0][0] == 5
    with BookReader(home) as reader:
        verdict = reader.verify(all_signatures=True)
        assert (verdict.ok, verdict.entries, verdict.commits) == (True, 5, 3)


def test_resend_is_recalled_and_not_new(home: Home) -> None:
    """A request seen again is known, also after a restart, and recalled as it was written."""
    writer = open_writer(home)
    rows = writer.commit([append(1, 3)], STAMP)
    assert not writer.admission.is_new(append(1, 3), (), NOW_NS)
    writer.close()

    again = open_writer(home)

    assert not again.admission.is_new(append(1, 3), (), NOW_NS)
    assert again.admission.rows_of(append(1, 3)) == rows
    again.close()


def test_resend_of_a_waiting_request_is_not_new(home: Home) -> None:
    """A resend that comes before the first attempt was committed is known from the queue."""
    writer = open_writer(home)
    assert writer.admission.is_new(append(1), (), NOW_NS)

    assert not writer.admission.is_new(append(1), [append(1)], NOW_NS)
    writer.close()


def test_lower_nonce_that_never_arrived_is_new(home: Home) -> None:
    """A later nonce may overtake an earlier one: that is written, not taken for a duplicate."""
    writer = open_writer(home)
    writer.commit([append(2)], STAMP)

    assert writer.admission.is_new(append(1), (), NOW_NS)
    writer.close()


def test_same_nonce_of_another_writer_is_new(home: Home) -> None:
    """A nonce is unique with its writer, not alone."""
    writer = open_writer(home)
    writer.commit([append(1)], STAMP)

    assert writer.admission.is_new(append(1, writer="other"), (), NOW_NS)
    writer.close()


def test_nonce_above_all_of_its_writer_needs_no_look_up(home: Home) -> None:
    """It is taken for used from then on; of a writer that was not heard yet nothing is known."""
    writer = open_writer(home)

    assert not writer.admission.is_above(append(5))
    assert writer.admission.is_new(append(5), (), NOW_NS)
    assert not writer.admission.is_above(append(5))
    assert not writer.admission.is_above(append(4))
    assert writer.admission.is_above(append(6, 3))
    assert not writer.admission.is_above(append(8))
    assert writer.admission.is_above(append(9))
    writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        append(1, details="other"),
        append(2, 2),
        append(1, 2),
        Append("agent", entry.make_nonce(7, 1), [new("other")]),
    ],
    ids=["other details", "overlap", "more entries", "other action"],
)
def test_nonce_used_for_other_entries_is_refused(home: Home, request_: Append) -> None:
    """A nonce that comes back with other content, or overlapping, is the caller's mistake."""
    writer = open_writer(home)
    writer.commit([append(1), append(2), append(4)], STAMP)
    request_ = msgspec.structs.replace(
        request_, entries=request_.entries if len(request_.entries) == 1 else [new("other")] * 2
    )

    with pytest.raises(errors.BadRequest) as caught:
        writer.admission.is_new(request_, (), NOW_NS)

    assert caught.value.field == "nonce"
    writer.close()


def test_nonce_passed_over_a_day_ago_has_expired(home: Home) -> None:
    """A nonce below one that was written more than 24 h ago cannot be judged any more."""
    writer = open_writer(home)
    writer.commit([append(2)], STAMP)

    with pytest.raises(errors.NonceExpired, match="24 h ago"):
        writer.admission.is_new(append(1), (), NOW_NS + RESEND_WINDOW_NS + 1)

    assert writer.admission.is_new(append(1, incarnation=6), (), NOW_NS + RESEND_WINDOW_NS + 1)
    writer.close()


def test_size_limit_refuses_the_group_and_keeps_the_book(home: Home) -> None:
    """At the size limit a group is refused whole; a smaller one still fits, and all verifies."""
    writer = open_writer(home, size_max_bytes=200_000)
    big = Append("agent", entry.make_nonce(1, 1), [new(details=b"x" * 50_000)] * 6)

    with pytest.raises(errors.DiskFull):
        writer.commit([append(1), big], STAMP)

    rows = writer.commit([append(1)], STAMP)
    assert rows[0][0] == 1
    writer.close()
    with BookReader(home) as reader:
        assert reader.verify(all_signatures=True).entries == 1


def test_closed_book_leaves_its_log_and_is_readable_where_nothing_can_be_written(
    home: Home,
) -> None:
    """The writer leaves -wal and -shm, and a directory without write permission can be read."""
    write_book(home, [2])

    left = sorted(path.name for path in home.path.glob("book.db*"))

    assert left == ["book.db", "book.db-shm", "book.db-wal"]
    home.path.chmod(0o500)
    with BookReader(home) as reader:
        assert reader.count() == 2
    home.path.chmod(0o700)


def test_book_and_key_are_private(home: Home) -> None:
    """Nobody else can read the book or its key."""
    write_book(home, [1])

    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (home.book_db, home.keys_dir, home.keys_dir / "site.key")
    }

    assert modes == {"book.db": 0o600, "keys": 0o700, "site.key": 0o600}


def test_database_has_the_settled_settings(home: Home) -> None:
    """Page size, vacuum mode, identity and journal mode are those of docs/JOURNAL.md."""
    write_book(home, [1])
    connection = raw_connection(home.book_db)

    names = ("page_size", "auto_vacuum", "journal_mode", "application_id", "user_version")
    values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    connection.close()

    assert values == [4096, 2, "wal", schema.APPLICATION_ID, schema.SCHEMA_VERSION]


def test_writer_and_reader_have_the_settled_settings(home: Home) -> None:
    """What counts for a connection: every commit is fsynced, what is deleted is overwritten."""
    writer = open_writer(home)
    wanted = {
        "synchronous": 2,
        "secure_delete": 1,
        "wal_autocheckpoint": 16_000,
        "busy_timeout": 2000,
        "trusted_schema": 0,
        "cell_size_check": 1,
    }

    def settings(connection: sqlite3.Connection) -> dict[str, int]:
        return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted}

    with BookReader(home) as reader:
        reading = reader.query(settings)
        can_change = not reader.query(lambda c: c.execute("PRAGMA query_only").fetchone()[0])

    assert writer.query(settings) == wanted
    assert (reading["busy_timeout"], reading["trusted_schema"], can_change) == (2000, 0, False)


def test_newer_schema_is_refused_and_not_touched(home: Home) -> None:
    """A book of a newer program is refused with both versions, by writer and reader."""
    write_book(home, [1])
    connection = raw_connection(home.book_db)
    connection.execute("PRAGMA user_version=99")
    connection.close()

    with pytest.raises(errors.UnsupportedVersion, match="got 99"):
        open_writer(home)
    with pytest.raises(errors.UnsupportedVersion, match="got 99"):
        BookReader(home)


def test_foreign_database_is_refused(home: Home) -> None:
    """Another program's database is not taken over."""
    connection = raw_connection(home.book_db)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()

    with pytest.raises(errors.UnsupportedVersion, match="another database"):
        open_writer(home)


def test_file_that_is_no_database_is_refused(home: Home) -> None:
    """A file of something else is named, and left alone."""
    home.book_db.write_bytes(b"not a database, but long enough to be read as one" * 100)

    with pytest.raises(errors.UnsupportedVersion, match="no SQLite database"):
        open_writer(home)
    with pytest.raises(errors.UnsupportedVersion, match="no SQLite database"):
        BookReader(home)


@pytest.mark.parametrize("change", ["missing", "another", "readable", "garbage"])
def test_wrong_key_is_refused(home: Home, change: str) -> None:
    """A book is not continued with a missing, another, exposed or broken key."""
    write_book(home, [1])
    path = home.keys_dir / "site.key"
    match change:
        case "missing":
            path.unlink()
        case "another":
            path.write_text("00" * 32)
        case "readable":
            path.chmod(0o644)
        case "garbage":
            path.write_text("no key")

    with pytest.raises(errors.HomeUnusable, match=r"key|hex"):
        open_writer(home)


def test_truncated_history_is_not_continued(home: Home) -> None:
    """Entries without their commit, or a commit without entries, stop the writer at the start."""
    write_book(home, [1, 2])
    connection = raw_connection(home.book_db)
    connection.execute("DELETE FROM signed_commit WHERE commit_no = 2")
    connection.close()

    with pytest.raises(errors.BookCorrupt, match="bad seq 2"):
        open_writer(home)


def test_migration_backs_the_book_up_first(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older book is copied, then migrated in one transaction; a failing one changes nothing."""
    write_book(home, [1])

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half_done (x)")
        raise sqlite3.OperationalError("no")

    present = schema.SCHEMA_VERSION
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, fail))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", present + 1)

    for _ in range(2):
        with pytest.raises(errors.HomeUnusable, match="no"):
            open_writer(home)

    connection = raw_connection(home.book_db)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    connection.close()
    assert "half_done" not in names
    assert (home.path / f"book.db.v{present}").exists()


def test_backup_taken_while_writing_verifies(home: Home, tmp_path: Path) -> None:
    """A copy made between two commits is a whole book."""
    writer = open_writer(home)
    writer.commit([append(1, 500)], STAMP)
    with BookReader(home) as reader:
        reader.copy_to(home.path / "copy.db", pages_per_slice=1)
    writer.commit([append(501)], STAMP)
    writer.close()

    other = Home(tmp_path, tmp_path)
    (home.path / "copy.db").rename(other.book_db)
    with BookReader(other) as copy:
        verdict = copy.verify(all_signatures=True)

    assert (verdict.ok, verdict.entries) == (True, 500)


def test_key_signs_what_its_public_half_checks(home: Home) -> None:
    """A loaded key is the created one."""
    created = SiteKey.create(home.keys_dir)

    loaded = SiteKey.load(home.keys_dir)

    assert loaded is not None
    assert loaded.public == created.public
    assert loaded.sign(b"x") == created.sign(b"x")


def test_vacuum_frees_as_many_pages_as_asked(home: Home) -> None:
    """The file shrinks by the pages of one call, and the rest stays free."""
    writer = open_writer(home)
    connection = raw_connection(home.book_db)
    connection.execute("CREATE TABLE bulk (x)")
    connection.execute("INSERT INTO bulk VALUES (zeroblob(400000))")
    connection.execute("DROP TABLE bulk")
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    connection.close()

    left = writer.vacuum(60)

    assert free > 60
    assert left == free - 60
    assert writer.vacuum(1000) == 0
    writer.close()
