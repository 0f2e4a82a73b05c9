"""Any book verifies, any changed byte is found where it is, and no nonce is written twice."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from books import STAMP, append, open_writer, raw_connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hourbook.book.proof.verify import Verdict
from hourbook.book.reader import BookReader
from hourbook.home import Home
from protocols import entry
from protocols.book_messages import Append, NewEntry

GROUPS = [1, 3, 1, 5, 2]
TEXT_COLUMNS = ("writer", "session", "kind", "action", "entity")
BLOB_COLUMNS = ("nonce", "tags", "salt", "details", "parent_hash", "hash")
NUMBER_COLUMNS = ("time_ns", "bound_ns", "hlc", "branch")
STRAY_ENTRY = (
    "INSERT INTO entry SELECT 0, time_ns, bound_ns, hlc, branch, 'x', session, nonce, kind,"
    " action, entity, tags, salt, details, details_hash, parent_hash, hash FROM entry LIMIT 1"
)
SWAPPED = """
    UPDATE entry SET seq = -6 WHERE seq = 6;
    UPDATE entry SET seq = 6 WHERE seq = 7;
    UPDATE entry SET seq = 7 WHERE seq = -6;
"""
COPIED_SIGNATURE = (
    "UPDATE signed_commit SET signature ="
    " (SELECT signature FROM signed_commit WHERE commit_no = 2) WHERE commit_no = 4"
)
COMMIT_COLUMNS = ("head_hash", "prev_commit", "key", "signature")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a small book with five commits, every column filled."""
    path = tmp_path_factory.mktemp("book")
    home = Home(path, path)
    writer = open_writer(home)
    counter = 1
    for count in GROUPS:
        request = append(counter, count, details={"n": "value"})
        entries = [
            NewEntry(e.action, e.entity, e.details, ("prod", "eu"), "note") for e in request.entries
        ]
        writer.commit([Append("agent", request.nonce, entries, session="release")], STAMP)
        counter += count
    writer.checkpoint(truncate=True)
    writer.close()
    return home


@pytest.fixture
def copy(template: Home, tmp_path: Path) -> Home:
    """Return a copy of the template to damage."""
    path = tmp_path / "copy"
    shutil.copytree(template.path, path, ignore=shutil.ignore_patterns("*-shm", "*-wal"))
    return Home(path, path)


def changed(value: Any, rng: Any) -> Any:
    """Return a value of the same type that differs in one place."""
    if isinstance(value, int):
        return value ^ (1 << rng.randrange(0, 40))
    raw = bytearray(value.encode() if isinstance(value, str) else value)
    place = rng.randrange(len(raw))
    if isinstance(value, str):
        raw[place] = ord("a") if raw[place] != ord("a") else ord("b")
        return raw.decode()
    raw[place] ^= 1 << rng.randrange(8)
    return bytes(raw)


def verify(home: Home) -> Verdict:
    """Verify a book with every signature."""
    with BookReader(home) as reader:
        return reader.verify(all_signatures=True)


@pytest.mark.parametrize("column", [*TEXT_COLUMNS, *BLOB_COLUMNS, *NUMBER_COLUMNS])
def test_change_in_any_column_is_found_at_its_seq(copy: Home, column: str, rng: Any) -> None:
    """One changed byte in one column of one entry: verify names that entry."""
    seq = rng.randrange(1, sum(GROUPS) + 1)
    connection = raw_connection(copy.book_db)
    value = connection.execute(
        f"SELECT {column} FROM entry WHERE seq = ?",  # noqa: S608 - from the list above
        (seq,),
    ).fetchone()[0]
    connection.execute("DROP INDEX entry_nonce")  # it would catch some changes of a nonce itself
    connection.execute(
        f"UPDATE entry SET {column} = ? WHERE seq = ?",  # noqa: S608 - from the list above
        (changed(value, rng), seq),
    )
    connection.close()

    verdict = verify(copy)

    assert not verdict.ok
    assert verdict.first_bad_seq == seq, verdict.problem


@pytest.mark.parametrize("column", COMMIT_COLUMNS)
def test_change_in_any_commit_is_found_in_its_range(copy: Home, column: str, rng: Any) -> None:
    """One changed byte in one commit: verify names an entry of that commit."""
    commit_no = rng.randrange(1, len(GROUPS) + 1)
    connection = raw_connection(copy.book_db)
    first, last, value = connection.execute(
        f"SELECT first_seq, last_seq, {column}"  # noqa: S608 - from the list above
        " FROM signed_commit WHERE commit_no = ?",
        (commit_no,),
    ).fetchone()
    connection.execute(
        f"UPDATE signed_commit SET {column} = ? WHERE commit_no = ?",  # noqa: S608 - as above
        (changed(value, rng), commit_no),
    )
    connection.close()

    verdict = verify(copy)

    assert not verdict.ok
    assert verdict.first_bad_seq is not None
    assert first <= verdict.first_bad_seq <= last, verdict.problem


@pytest.mark.parametrize(
    ("sql", "bad_seq"),
    [
        ("DELETE FROM entry WHERE seq = 4", 4),
        ("DELETE FROM entry WHERE seq >= 11", 11),
        ("DELETE FROM signed_commit WHERE commit_no = 3", 5),
        ("UPDATE signed_commit SET first_seq = 3 WHERE commit_no = 2", 2),
        (STRAY_ENTRY, 0),
        ("UPDATE entry SET details = NULL, salt = NULL WHERE seq = 7", 7),
        ("UPDATE entry SET details_hash = zeroblob(32) WHERE seq = 7", 7),
        ("UPDATE entry SET action = CAST(x'ff' AS TEXT) WHERE seq = 9", 9),
        (SWAPPED, 6),
        (STRAY_ENTRY.replace("SELECT 0", "SELECT 13"), 13),
        (COPIED_SIGNATURE, 6),
        ("UPDATE signed_commit SET key = zeroblob(32)", 1),
        ("DELETE FROM signed_commit WHERE commit_no = 5", 11),
        ("DELETE FROM signed_commit", 1),
        ("UPDATE signed_commit SET last_seq = 11 WHERE commit_no = 5", 11),
    ],
)  # fmt: skip
def test_damage_of_any_shape_is_named(copy: Home, sql: str, bad_seq: int) -> None:
    """Gaps, cuts, strays, lost details and broken text are each found where they begin."""
    connection = raw_connection(copy.book_db)
    connection.executescript(sql)
    connection.close()

    verdict = verify(copy)

    assert (verdict.ok, verdict.first_bad_seq) == (False, bad_seq), verdict.problem
    with BookReader(copy) as reader:
        assert reader.verify().first_bad_seq == bad_seq  # no need to check every signature


def test_nonce_written_twice_is_found_although_all_hashes_hold(tmp_path: Path) -> None:
    """A writer that signed the same nonce twice is caught by verify, at the second entry."""
    home = Home(tmp_path, tmp_path)
    writer = open_writer(home)
    connection = raw_connection(home.book_db)
    connection.execute("DROP INDEX entry_nonce")
    connection.close()
    for counter in (1, 3, 2, 3, 4):
        writer.commit([append(counter)], STAMP)
    writer.close()

    verdict = verify(home)

    assert (verdict.ok, verdict.first_bad_seq) == (False, 4)
    assert "seq 2" in verdict.problem


def test_dropped_details_break_no_chain_and_are_missed(copy: Home) -> None:
    """Hashes hold while a digest stays; but details go only where an entry of the book says why."""
    connection = raw_connection(copy.book_db)
    salt, details = connection.execute("SELECT salt, details FROM entry WHERE seq = 7").fetchone()
    connection.execute(
        "UPDATE entry SET details = NULL, salt = NULL, details_hash = ? WHERE seq = 7",
        (entry.details_digest(salt, details),),
    )
    connection.close()

    verdict = verify(copy)
    assert (verdict.entries, verdict.first_bad_seq, verdict.finding) == (12, None, "archive")
    assert verdict.problem == "seq 7 has no details, and no entry says why"


def test_verify_from_a_commit_leaves_what_is_before_alone(copy: Home) -> None:
    """A damage before the given commit is not looked at; one behind it is."""
    connection = raw_connection(copy.book_db)
    connection.execute("UPDATE entry SET action = 'x' WHERE seq = 2")
    connection.close()

    with BookReader(copy) as reader:
        verdict = reader.verify(from_commit=3)

    assert (verdict.ok, verdict.entries, verdict.commits) == (True, 8, 3)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | text | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
news = st.builds(
    lambda action, entity, details, tags, kind: NewEntry(
        action, entity, entry.encode_value(details, "d"), tuple(tags), kind  # type: ignore[arg-type]
    ),
    text, text, values, st.lists(text, max_size=3), text,
)  # fmt: skip


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(groups=st.lists(st.lists(st.lists(news, min_size=1, max_size=3), max_size=3), max_size=4))
def test_any_book_verifies_and_reads_back(
    groups: list[list[list[NewEntry]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is logged, in whatever groups, comes back as it was, and verifies."""
    path = tmp_path_factory.mktemp("any")
    home = Home(path, path)
    writer = open_writer(home)
    counter, sent = 1, []
    for group in groups:
        requests = []
        for entries in group:
            fixed = [
                NewEntry(e.action, e.entity, msgspec.Raw(bytes(e.details)), e.tags, e.kind)
                for e in entries
            ]
            requests.append(Append("agent", entry.make_nonce(1, counter), fixed))
            counter += len(entries)
            sent += fixed
        if requests:
            writer.commit(requests, STAMP)
    writer.close()

    with BookReader(home) as reader:
        back = reader.tail(1000)
        verdict = reader.verify(all_signatures=True)

    assert verdict.ok, verdict.problem
    assert [(e.action, e.entity, e.details_raw, e.tags, e.kind) for e in back] == [
        (e.action, e.entity, bytes(e.details), e.tags, e.kind) for e in sent
    ]
    shutil.rmtree(path)


@settings(max_examples=40, deadline=None)
@given(counters=st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=40))
def test_every_nonce_is_written_once(
    counters: list[tuple[int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Against a model: whatever order nonces come and come again in, each is in the book once."""
    path = tmp_path_factory.mktemp("dedupe")
    home = Home(path, path)
    writer = open_writer(home)
    model: set[int] = set()
    waiting: list[Append] = []
    for counter, commits in counters:
        request = append(counter)
        is_new = writer.admission.is_new(request, waiting, STAMP.time_ns)
        assert is_new == (counter not in model)
        model.add(counter)
        if is_new:
            waiting.append(request)
        if commits and waiting:
            writer.commit(waiting, STAMP)
            waiting = []
    if waiting:
        writer.commit(waiting, STAMP)
    writer.close()

    with BookReader(home) as reader:
        assert sorted(entry.nonce_parts(e.nonce)[1] for e in reader.tail(99)) == sorted(model)
    shutil.rmtree(path)
