"""The archive: details leave the database and read as before; damage shows, and only there."""

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from archived_books import (
    COUNT,
    LATER,
    archive,
    details_of,
    files,
    make_book,
    nonce,
    redact,
    seal,
)
from books import STAMP, append, open_writer, raw_connection

from hourbook.book.archive.frame_cache import open_archived
from hourbook.book.archive.frames import build, read_frame, read_index, without
from hourbook.book.archive.retention import Rule, spans, unfold
from hourbook.book.archive.shelf import put_file, sparing
from hourbook.book.journal import Stamp
from hourbook.book.reader import BookReader
from hourbook.book.sql.query import run_query
from hourbook.home import Home
from protocols import entry, errors
from protocols.keep_messages import Retain, Retained, SealArchive


def test_archived_details_read_as_before(home: Home) -> None:
    """Entries are equal field by field, the book verifies, and the database is rid of them."""
    writer = make_book(home)
    with BookReader(home) as reader:
        before = reader.tail(COUNT)

    archive(writer, home, list(range(1, 16)))

    with BookReader(home) as reader:
        assert list(reader.since(0, until_seq=COUNT)) == before
        assert reader.entry(3) == before[2]
        assert reader.verify(all_signatures=True).ok
    rows = writer.query(lambda c: c.execute("SELECT count(details) FROM entry").fetchone())
    assert rows == (COUNT - 15 + 1,)
    assert writer.head.seq == COUNT + 1
    writer.close()


def test_record_of_an_archive_names_file_hash_and_entries(home: Home) -> None:
    """The signed entry says which details are in which file."""
    writer = make_book(home)
    archive(writer, home, [2, 3, 4, 9])

    with BookReader(home) as reader:
        record = reader.tail(1)[0]

    (file,) = files(home)
    assert (record.kind, record.entity) == ("book.archive", file.name)
    assert record.details["sha256"] == hashlib.sha256(file.read_bytes()).digest()
    assert record.details["seqs"] == [[2, 4], [9, 9]]
    assert file.stat().st_mode & 0o777 == 0o600


def test_query_reads_archived_details(home: Home) -> None:
    """SQL sees the same JSON before and after."""
    writer = make_book(home)
    sql = "SELECT seq, details, missing, details->>'n' FROM entries WHERE kind = 'log'"
    before = [tuple(row) for row in run_query(home, sql)]

    archive(writer, home, list(range(1, 16)))

    assert [tuple(row) for row in run_query(home, sql)] == before
    assert [tuple(row) for row in run_query(home, sql, at_seq=10)] == before[:10]


def _young(stamp: Stamp) -> Stamp:
    return Stamp(stamp.time_ns + 23 * 3600 * 10**9, stamp.bound_ns)


def test_young_details_are_not_archived(home: Home) -> None:
    """Younger than the resend window: refused, and nothing is cleared."""
    writer = make_book(home)

    outcome = writer.write([seal(writer, home, [1, 2])], _young(STAMP)).outcomes[0]

    assert isinstance(outcome.error, errors.BadRequest)
    assert writer.query(lambda c: c.execute("SELECT count(*) FROM detached").fetchone()) == (0,)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(b"\0" * path.stat().st_size),
    ],
    ids=["missing", "empty", "cut", "half", "zeros"],
)
def test_spoiled_archive_is_an_error_for_its_details_alone(
    home: Home, spoil: Callable[[Path], None]
) -> None:
    """Other details, the entries themselves and verification of the chain are unharmed."""
    writer = make_book(home)
    archive(writer, home, list(range(1, 8)))
    archive(writer, home, list(range(8, 15)), counter=2)
    path = files(home)[0]

    spoil(path)

    with BookReader(home) as reader:
        found = list(reader.since(0))
        assert [e.seq for e in found] == list(range(1, writer.head.seq + 1))
        for one in found[:7]:
            with pytest.raises(errors.ArchiveDamaged, match=path.name):
                _ = one.details
        assert [e.details["n"] for e in found[7:COUNT]] == list(range(8, COUNT + 1))
        verdict = reader.verify()
    assert not verdict.ok
    assert verdict.first_bad_seq is None
    assert verdict.finding == "archive"
    assert path.name in verdict.problem
    with pytest.raises(errors.ArchiveDamaged, match=path.name):
        run_query(home, "SELECT details FROM entries")
    assert len(run_query(home, "SELECT details FROM entries WHERE seq > 7")) > 0
    assert writer.commit([append(777)], LATER)[0][0] == writer.head.seq


def test_flipped_bit_spoils_one_frame_at_most(home: Home, rng: random.Random) -> None:
    """Whatever bit is wrong: details are the true ones, or an error; never others."""
    writer = make_book(home)
    archive(writer, home, list(range(1, 16)))
    (path,) = files(home)
    whole = path.read_bytes()

    for _ in range(60):
        spoiled = bytearray(whole)
        position = rng.randrange(len(whole) * 8)
        spoiled[position // 8] ^= 1 << position % 8
        path.write_bytes(spoiled)
        with BookReader(home) as reader:
            for one in reader.since(0, until_seq=COUNT):
                try:
                    assert one.details == details_of(one.seq)
                except errors.ArchiveDamaged:
                    assert one.seq < 16
            assert not reader.verify().ok


@pytest.mark.parametrize(
    ("vandalism", "problem"),
    [
        ("DELETE FROM archive", "seq 3 has its details in an archive file that the book does not"),
        ("UPDATE archive SET last_seq = 5", "seq 6 has its details in an archive file that the bo"),
        ("UPDATE detached SET archive = NULL", "seq 3 has no details, and seq 21 does not say why"),
        ("UPDATE detached SET by_seq = 4", "seq 3 has no details, and seq 4 does not say why"),
        ("UPDATE detached SET by_seq = 99", "seq 3 has no details, and seq 99 does not say why"),
        ("DELETE FROM detached WHERE seq = 7", "seq 7 has no details, and no entry says why"),
        ("UPDATE detached SET seq = 2 WHERE seq = 3", "seq 3 has no details, and no entry says wh"),
        ("UPDATE archive SET sha256 = x'00'", "another SHA-256 than the book names"),
    ],
)
def test_details_that_were_made_away_with_are_missed(
    home: Home, vandalism: str, problem: str
) -> None:
    """Whatever is changed in the tables that say where details are, verification names it."""
    writer = make_book(home)
    archive(writer, home, list(range(3, 10)))
    writer.close()
    vandal = raw_connection(home.book_db)
    vandal.execute(vandalism)
    vandal.close()

    with BookReader(home) as reader:
        verdict = reader.verify()

    assert (verdict.ok, verdict.first_bad_seq, verdict.finding) == (False, None, "archive")
    assert problem in verdict.problem


def test_file_that_is_made_anew_during_verification_is_no_damage(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redaction may come between two pages; what it does is right."""
    writer = make_book(home)
    archive(writer, home, [1, 2, 3])
    archive(writer, home, [4], counter=2)
    first, second = files(home)
    redactions = iter([redact(2), redact(4, counter=901)])

    def open_late(path: Path) -> bytes:
        if path in (first, second):
            writer.write([next(redactions)], LATER)
            writer.sweep_archive()
        return path.read_bytes() if path.exists() else open_archived(path)

    monkeypatch.setattr("hourbook.book.archive.check.open_archived", open_late)
    with BookReader(home) as reader:
        verdict = reader.verify()

    assert (verdict.ok, verdict.problem, verdict.detached) == (True, "", 4)
    assert next(redactions, None) is None


def test_log_is_checkpointed_while_an_archive_is_verified(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verification holds no read transaction over files, nor one page over the next."""
    monkeypatch.setattr("hourbook.book.archive.check.PAGE_ENTRIES", 4)
    monkeypatch.setattr("hourbook.book.proof.verify.PAGE_NS", 0)
    writer = make_book(home)
    archive(writer, home, list(range(1, 8)))
    archive(writer, home, list(range(8, 15)), counter=2)
    log_bytes: list[int] = []

    def note(*_: object) -> None:
        writer.commit([append(1000 + len(log_bytes))], LATER)
        log_bytes.append(writer.checkpoint(truncate=True))

    with BookReader(home) as reader:
        verdict = reader.verify(progress=note)

    assert verdict.ok, verdict.problem
    assert len(log_bytes) > COUNT
    assert set(log_bytes) == {0}


def test_details_dropped_without_a_record_are_found(home: Home) -> None:
    """Who clears details behind the book's back leaves a chain that verifies, but no reason."""
    writer = make_book(home)
    writer.close()
    vandal = raw_connection(home.book_db)
    salt, raw = vandal.execute("SELECT salt, details FROM entry WHERE seq = 5").fetchone()
    digest = entry.details_digest(salt, raw)
    vandal.execute(
        "UPDATE entry SET salt = NULL, details = NULL, details_hash = ? WHERE seq = 5", (digest,)
    )
    vandal.close()

    with BookReader(home) as reader:
        verdict = reader.verify()

    assert not verdict.ok
    assert "seq 5" in verdict.problem


def test_redaction_of_an_archived_entry_makes_its_file_anew(home: Home) -> None:
    """The new file lacks it, the old one goes, the rest reads as before, the book verifies."""
    writer = make_book(home)
    archive(writer, home, list(range(1, 16)))
    (old,) = files(home)

    outcome = writer.write([redact(4)], LATER).outcomes[0]

    assert outcome.error is None
    assert old in files(home)
    assert writer.sweep_archive()
    (new,) = files(home)
    assert new != old
    assert all(4 not in span.seqs for span in read_index(new.read_bytes()))
    with BookReader(home) as reader:
        found = list(reader.since(0, until_seq=COUNT))
        assert reader.verify(all_signatures=True).ok
    assert [e.details["n"] for e in found if e.seq != 4] == [n for n in range(1, 21) if n != 4]
    with pytest.raises(errors.Redacted, match="wrong"):
        _ = found[3].details


def test_reader_of_an_earlier_state_finds_the_file_made_anew(home: Home) -> None:
    """A name that was read before a redaction leads to the file that took its place."""
    writer = make_book(home)
    archive(writer, home, list(range(1, 16)))
    with BookReader(home) as reader:
        reader.query(lambda c: c.execute("BEGIN"))
        reader.query(lambda c: c.execute("SELECT count(*) FROM archive").fetchall())
        writer.write([redact(4)], LATER)
        writer.sweep_archive()

        assert reader.page(6, 1)[0].details == details_of(7)


def test_file_that_is_being_copied_is_swept_later(home: Home) -> None:
    """A backup under way keeps what it may still have to copy."""
    writer = make_book(home)
    archive(writer, home, [1, 2, 3])
    (old,) = files(home)
    with sparing(home.archive_dir):
        writer.write([redact(2)], LATER)
        assert not writer.sweep_archive()
        assert old.exists()

    assert writer.sweep_archive()
    assert not old.exists()


def test_file_with_other_details_is_refused(home: Home) -> None:
    """The writer compares before it clears: a file that is wrong costs nothing."""
    writer = make_book(home)
    good = seal(writer, home, [1, 2, 3])
    lie = build([(1, b"s" * 16, b"\xa1x")])
    name, digest = put_file(home.archive_dir, lie, 1, 1)

    for change in (
        SealArchive(writer="compactor", nonce=nonce(2), file=name, sha256=digest),
        SealArchive(writer="compactor", nonce=nonce(3), file=good.file, sha256=b"x" * 32),
        SealArchive(writer="compactor", nonce=nonce(4), file="nothing.zst", sha256=digest),
        msgspec.structs.replace(good, nonce=nonce(5), file=name),
    ):
        assert writer.write([change], LATER).outcomes[0].error is not None
    assert writer.query(lambda c: c.execute("SELECT count(*) FROM detached").fetchone()) == (0,)
    with BookReader(home) as reader:
        assert reader.verify().ok


def test_retention_drops_from_database_and_archive(home: Home) -> None:
    """Both kinds go in one change, whose record names the rule and every seq."""
    writer = make_book(home)
    archive(writer, home, [1, 2, 3])
    change = Retain(
        writer="compactor", nonce=nonce(7), rule="drop after 1 d", ranges=[(2, 3), (10, 11)]
    )

    outcome = writer.write([change], LATER).outcomes[0]

    done = msgspec.msgpack.decode(outcome.body, type=Retained)
    assert (done.seq, done.entries) == (COUNT + 2, 4)
    with BookReader(home) as reader:
        found = reader.tail(COUNT + 2)
        assert reader.verify().ok
    assert [e.seq for e in found if e.missing is not None] == [2, 3, 10, 11]
    with pytest.raises(errors.Redacted, match="dropped by a rule by compactor"):
        _ = found[1].details
    assert found[-1].details["seqs"] == [[2, 3], [10, 11]]
    writer.sweep_archive()
    assert [len(span.seqs) for span in read_index(files(home)[0].read_bytes())] == [1]


def test_archive_file_that_is_emptied_goes(home: Home) -> None:
    """When the last details of a file are dropped there is no file."""
    writer = make_book(home)
    archive(writer, home, [1, 2])
    ranges = [(1, 2)]

    writer.write([Retain(writer="compactor", nonce=nonce(8), rule="drop", ranges=ranges)], LATER)
    writer.sweep_archive()

    assert files(home) == []
    with BookReader(home) as reader:
        assert reader.verify().ok


def test_frames_are_cut_at_large_details() -> None:
    """Large details stand alone; what is read back is what was put in."""
    sizes = [10, 300_000, 20, 30, 70_000, 1, 200_000, 5]
    details = [(n, bytes([n]) * 16, os.urandom(size)) for n, size in enumerate(sizes, 1)]

    file = build(details)

    spans_ = read_index(file)
    assert [s.seqs for s in spans_] == [(1,), (2,), (3, 4), (5,), (6,), (7,), (8,)]
    assert [d for s in spans_ for d in read_frame(s.cut(file), s)] == details
    rest = without(file, frozenset({3, 7}))
    assert rest is not None
    assert [d[0] for s in read_index(rest) for d in read_frame(s.cut(rest), s)] == [
        1,
        2,
        4,
        5,
        6,
        8,
    ]


def test_ranges_fold_and_unfold(rng: random.Random) -> None:
    """Ranges are a shorter way to write rising seqs."""
    seqs = sorted(rng.sample(range(1, 200), 80))

    assert list(unfold(spans(seqs))) == seqs


@pytest.mark.parametrize("after", ["23 h", "0 d", "5 m", "d", "1 d ", "-3 d"])
def test_rule_with_an_age_that_does_not_fit_is_refused(after: str) -> None:
    """An age is in hours or days, and at least a day."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"do": "drop", "after": after}, Rule)


def test_home_without_an_archive_has_nothing_to_sweep(home: Home) -> None:
    """Nor is there anything to wait for, or made."""
    with sparing(home.archive_dir):
        assert open_writer(home).sweep_archive(force=True)

    assert not home.archive_dir.exists()
