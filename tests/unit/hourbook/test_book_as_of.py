"""As of a seq, a time or a hash: what each text means, and what a book shows for it."""

import random
import signal
from datetime import UTC, datetime, timedelta, timezone
from itertools import accumulate

import pytest
from books import STAMP, append, open_writer, raw_connection, write_book

from hourbook.book import as_of, schema
from hourbook.book.as_of import seq_at_time, seq_since
from hourbook.book.book_view import BookView, seq_at, view_at
from hourbook.book.journal import EMPTY_HEAD, Stamp, seal, sequence
from hourbook.book.moment import MomentLike, parse_moment
from hourbook.book.proof.key_chain import next_key
from hourbook.book.proof.key_ring import KeyRing
from hourbook.book.reader import BookReader
from hourbook.book.rows import insert_group
from hourbook.faces.book import connect
from hourbook.home import Home
from protocols import entry, errors

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS


def write_at(home: Home, commits: list[tuple[int, int]]) -> None:
    """Write one commit for each (time in nanoseconds, number of entries)."""
    writer = open_writer(home)
    counter = 1
    for time_ns, count in commits:
        writer.commit([append(counter, count)], Stamp(time_ns, 1000))
        counter += count
    writer.close()


def write_by_hand(home: Home, commits: list[tuple[int, int]]) -> None:
    """Do what `write_at` does, in a book too old for the writer of today."""
    connection = schema.connect_writer(home.book_db)
    schema.prepare(connection, home.book_db)
    key = KeyRing.open(home.keys_dir, next_key(connection)).current
    head, counter = EMPTY_HEAD, 1
    for time_ns, count in commits:
        salts = bytes(entry.SALT_SIZE * count)
        made = sequence(head, [append(counter, count)], Stamp(time_ns, 1000), salts)
        commit, head = seal(head, made.rows, key.public, key.sign)
        insert_group(connection, made.records, commit)
        counter += count
    connection.close()


def last_not_later(commits: list[tuple[int, int]], time_ns: int) -> int:
    """Return what a time means, the slow way."""
    ends = accumulate(count for _, count in commits)
    return max(
        (end for (at, _), end in zip(commits, ends, strict=True) if at <= time_ns), default=0
    )


@pytest.mark.parametrize(
    ("named", "seq", "time_ns", "digits"),
    [
        (7, 7, None, None),
        ("7", 7, None, None),
        ("0", 0, None, None),
        ("999999999", 999_999_999, None, None),
        ("12345678", 12_345_678, None, None),
        ("seq:1700000000", 1_700_000_000, None, None),
        (1_700_000_000, None, START_NS, None),
        ("1700000000", None, START_NS, None),
        ("1700000000.000000001", None, START_NS + 1, None),
        ("5.5", None, 5_500_000_000, None),
        ("1700000000000", None, START_NS, None),
        ("1700000000000000", None, START_NS, None),
        (START_NS, None, START_NS, None),
        ("time:5", None, 5 * SECOND_NS, None),
        ("2023-11-14T22:13:20Z", None, START_NS, None),
        ("2023-11-14T23:13:20.5+01:00", None, START_NS + SECOND_NS // 2, None),
        ("time:2023-11-14T22:13:20Z", None, START_NS, None),
        (datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC), None, START_NS + 1000, None),
        (
            datetime(2023, 11, 14, 23, 13, 20, tzinfo=timezone(timedelta(hours=1))),
            None,
            START_NS,
            None,
        ),
        ("deadBEEF", None, None, "deadbeef"),
        ("hash:12345678", None, None, "12345678"),
        ("1234567e8", None, None, "1234567e8"),
        ("1" * 64, None, None, "1" * 64),
        (b"\xde\xad\xbe\xef", None, None, "deadbeef"),
    ],
)
def test_moment_is_a_seq_a_time_or_a_hash(
    named: MomentLike, seq: int | None, time_ns: int | None, digits: str | None
) -> None:
    """Size tells a seq from a time and its unit; a prefix settles what could mislead."""
    moment = parse_moment(named)

    assert (moment.seq, moment.time_ns, moment.hash_digits) == (seq, time_ns, digits)


@pytest.mark.parametrize(
    "named",
    [
        "", " ", "-1", -1, "1e9", 1e9, True, None, "deadbee", "hash:deadbee", "hash:xyzxyzxy",
        "g" * 8, "a" * 65, b"abc", b"a" * 33, "yesterday", "2023-11-14", "2023-11-14T22:13:20",
        "2023-13-14T22:13:20Z", "seq:x", "seq:", "time:deadbeef", "time:", "hash:",
        "7'; DROP TABLE", "١٢٣٤", 1 << 63, datetime(2023, 11, 14),  # noqa: DTZ001 - without a zone
        "\ud800", "7\n", "../../x", "x" * 100_000,
    ],
    ids=lambda named: repr(named)[:20],
)  # fmt: skip
def test_what_is_no_moment_is_refused_in_one_line(named: MomentLike) -> None:
    """The message tells the three forms and stays short."""
    with pytest.raises(errors.BadRequest) as caught:
        parse_moment(named)

    assert str(caught.value).startswith("Expected a seq, a time")
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_time_means_the_last_commit_that_is_not_later(home: Home, rng: random.Random) -> None:
    """Whatever the clock did, bisection finds what a scan of all commits does."""
    time_ns = START_NS
    commits = []
    for _ in range(120):
        step = rng.choice([1, 10, 10, 1000, SECOND_NS])
        time_ns += step if rng.random() < 0.85 else -rng.choice([1, 50, 3600]) * step
        commits.append((time_ns, rng.randint(1, 4)))
    write_at(home, commits)
    times = [at + off for at, _ in commits for off in (-1, 0, 1)]

    with BookReader(home) as reader:
        for asked_ns in (*times, 0, -(1 << 70), 1 << 70):
            found = reader.query(lambda connection, t=asked_ns: seq_at_time(connection, t))  # type: ignore[misc]
            assert found == last_not_later(commits, asked_ns), asked_ns


def test_migration_finds_where_the_clock_was_set_back(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A book of version 2 learns its steps; both it and a new one keep them alike."""
    commits = [(START_NS + at * SECOND_NS, 2) for at in (1, 2, 3, 1, 2, 9, 8, 10)]
    with monkeypatch.context() as old:
        old.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:2])
        old.setattr(schema, "SCHEMA_VERSION", 2)
        write_by_hand(home, commits[:-2])
    writer = open_writer(home)
    for number, (time_ns, count) in enumerate(commits[-2:]):
        writer.commit([append(100 + 10 * number, count)], Stamp(time_ns, 1))
    writer.close()

    connection = raw_connection(home.book_db)
    steps = [seq for (seq,) in connection.execute("SELECT first_seq FROM clock_step")]
    connection.close()

    assert steps == [7, 13]


def test_seq_and_hash_mean_the_commit_that_holds_the_entry(home: Home) -> None:
    """In the midst of a commit there never was a state; ids of commits mean these."""
    write_book(home, [2, 3, 1])
    with BookReader(home) as reader:
        entries = reader.tail(6)
        head = reader.head()
    assert head is not None
    head_id = entry.commit_id(entry.commit_header(head), head.signature)

    assert [seq_at(home, seq) for seq in range(1, 7)] == [2, 2, 5, 5, 5, 6]
    assert [seq_at(home, each.hash) for each in entries] == [2, 2, 5, 5, 5, 6]
    assert [seq_at(home, f"hash:{each.hash.hex()[:9]}") for each in entries] == [2, 2, 5, 5, 5, 6]
    assert seq_at(home, f"hash:{head.prev_commit.hex()[:10].upper()}") == 5
    assert seq_at(home, head_id) == 6


def test_view_shows_what_the_book_held_then(home: Home) -> None:
    """Tail, entry, since and query end where the commit does, and go on doing so."""
    write_at(home, [(START_NS, 2), (START_NS + SECOND_NS, 3)])
    with BookReader(home) as reader:
        view = view_at(home, reader, "2023-11-14T22:13:20.9Z")
        writer = open_writer(home)
        writer.commit([append(9)], STAMP)
        writer.close()

        assert isinstance(view, BookView)
        assert (view.seq, view.commit.commit_no) == (2, 1)
        assert [each.seq for each in view.tail()] == [1, 2]
        assert [each.seq for each in view.tail(1)] == [2]
        assert view.tail(0) == []
        assert view.entry(2) is not None
        assert view.entry(3) is None
        assert [each.seq for each in view.since(1)] == [2]
        assert [row[0] for row in view.query("SELECT seq FROM entries WHERE seq > ?", (1,))] == [2]
        with pytest.raises(errors.BadRequest, match="count"):
            view.tail(-1)


def test_book_looks_back_and_asks_in_sql(home: Home) -> None:
    """The face that agents use: rows by name, as of now and of a moment; closed, it refuses."""
    write_at(home, [(START_NS, 2), (START_NS + SECOND_NS, 3)])
    moment = datetime.fromtimestamp(START_NS // SECOND_NS, UTC)

    with connect("reader", home, shared=True) as book:
        now = book.query("SELECT seq FROM entries WHERE seq > :s", {"s": 3}, limit=1)
        then = book.query("SELECT max(seq) AS newest FROM entries", at=moment)
        view = book.at("seq:1")

        assert [dict(row) for row in now] == [{"seq": 4}]
        assert (now.columns, now.is_truncated, now.seq) == (("seq",), True, 5)
        assert then[0]["newest"] == 2
        assert [each.seq for each in view.tail()] == [1, 2]
    for use in (lambda: book.query("SELECT 1"), lambda: book.at(1), view.tail):
        with pytest.raises(errors.BookClosed):
            use()


def test_large_book_is_searched_for_a_hash_by_threads(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each entry is found in whichever part it lies."""
    monkeypatch.setattr(as_of, "_SCAN_ENTRIES_MIN", 2)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    write_book(home, [3, 4])
    with BookReader(home) as reader:
        entries = reader.tail(7)

    assert [seq_at(home, each.hash) for each in entries] == [3, 3, 3, 7, 7, 7, 7]
    with pytest.raises(errors.NotInBook):
        seq_at(home, "0" * 64)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (0, "a seq in 1..3, got 0"),
        (4, "a seq in 1..3, got 4"),
        ("2023-11-14T22:13:19.999Z", "from 2023-11-14T22:13:20.000000000Z on"),
        ("9999-12-31T23:59:59Z", "a time that has come"),
        ("hash:00000000", "a hash of this book"),
        ("f" * 64, "a hash of this book"),
    ],
)
def test_moment_that_the_book_has_not_is_not_in_book(
    home: Home, named: MomentLike, words: str
) -> None:
    """Beyond its end, before its beginning, in the future, of another book: each says so."""
    write_at(home, [(START_NS, 1), (START_NS + SECOND_NS, 2)])

    with pytest.raises(errors.NotInBook, match=words):
        seq_at(home, named)


def test_what_is_new_since_a_moment_begins_after_it(home: Home) -> None:
    """A seq is taken as it is, a hash is its entry, a time may be before everything."""
    write_at(home, [(START_NS, 2), (START_NS + SECOND_NS, 3)])
    with BookReader(home) as reader:
        first = reader.tail(5)[0]

        def since(named: MomentLike) -> int:
            return reader.query(lambda opened: seq_since(home, opened, parse_moment(named)))

        assert [since(named) for named in (0, 4, 99)] == [0, 4, 99]
        assert since(first.hash) == 1
        assert since("2023-11-14T22:13:20.5Z") == 2
        assert since("2020-01-01T00:00:00Z") == 0
        with pytest.raises(errors.NotInBook):
            since("f" * 64)


def test_empty_book_has_no_moments(home: Home) -> None:
    """There is nothing to look back at."""
    write_book(home, [])

    with pytest.raises(errors.NotInBook, match="an empty one"):
        seq_at(home, 1)


def test_hash_that_several_begin_with_is_ambiguous(home: Home) -> None:
    """The message names the entries, and asks for more digits."""
    write_book(home, [1, 1, 1])
    connection = raw_connection(home.book_db)
    for seq, last in ((1, 1), (2, 2)):
        forged = b"\xab\xcd\xef\x01" + bytes(27) + bytes([last])
        connection.execute("UPDATE entry SET hash = ? WHERE seq = ?", (forged, seq))
    connection.close()

    with pytest.raises(errors.BadRequest, match=r"seqs 1, 2 begin \(give more digits\)"):
        seq_at(home, "abcdef01")
    assert seq_at(home, forged) == 2


@pytest.mark.parametrize("count", [-1, 1.5, "3", None, True, 1 << 63])
def test_tail_of_no_count_is_the_callers_fault_and_not_the_books(home: Home, count: object) -> None:
    """SQLite would call it a mismatch, and the book corrupt; 0 and more than there are is fine."""
    write_at(home, [(START_NS, 3)])

    with BookReader(home) as reader:
        counts = [0, 2, (1 << 63) - 1, signal.SIGINT]
        assert [len(reader.tail(count)) for count in counts] == [0, 2, 3, 2]
        with pytest.raises(errors.BadRequest, match=r"Expected `count` as an integer in 0\.\."):
            reader.tail(count)  # type: ignore[arg-type]
