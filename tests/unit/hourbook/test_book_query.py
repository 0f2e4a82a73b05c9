"""SQL over the stable views: what it shows, and all that it refuses, on real books."""

import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from books import STAMP, append, open_writer, write_book

from hourbook.book import schema
from hourbook.book.journal import Stamp
from hourbook.book.reader import BookReader
from hourbook.book.render import entry_json, json_value
from hourbook.book.sql import query as query_module
from hourbook.book.sql.functions import add_functions
from hourbook.book.sql.query import QueryResult, run_query
from hourbook.book.sql.views import VIEWS
from hourbook.home import Home, find_home, prepare_home
from protocols import entry, errors
from protocols.book_messages import Append, NewEntry
from protocols.instance_messages import Holder, Register, Release

ROOT = Path(__file__).parents[3]
DETAILS: list[Any] = [
    None,
    {"version": "1.2", "ok": True, "port": 8080},
    "text with 'quotes' and \0 and \U0001f600",
    [1, 2.5, None, {"deep": [b"\xff\x00"]}],
    {1: "one", "big": 1 << 60, "negative": -(1 << 60), "nan": float("nan")},
    {"ärger": "Łódź", "list": []},
    b"",
]


def write_details(home: Home) -> None:
    """Write one entry for each of DETAILS, with tags, the last without a bound."""
    writer = open_writer(home)
    for index, value in enumerate(DETAILS):
        raw = msgspec.Raw(entry.encode_value(value, "details"))
        tags = ("prod", 'a "tag"')[: index % 3]
        new = NewEntry("noted", f"e.{index}", raw, tags)
        request = Append("agent", entry.make_nonce(7, index + 1), [new], session="s")
        bound_ns = -1 if index == len(DETAILS) - 1 else 1_000
        writer.commit([request], Stamp(STAMP.time_ns + index * 1_000_000_007, bound_ns))
    writer.close()


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A book of three entries that no test changes."""
    path = tmp_path_factory.mktemp("three")
    made = find_home(path)
    prepare_home(made)
    write_book(made, [1, 2])
    yield made
    shutil.rmtree(made.run_dir)


def tuples(result: QueryResult) -> list[tuple[Any, ...]]:
    """Return the rows as plain tuples."""
    return [tuple(row) for row in result]


def test_entries_show_what_tail_shows(home: Home) -> None:
    """Each column says the same as the JSON of the entry, details and tags as JSON text."""
    write_details(home)

    rows = run_query(home, "SELECT * FROM entries")

    with BookReader(home) as reader:
        for row, found in zip(rows, reader.tail(100), strict=True):
            expected = entry_json(found)
            shown = {**dict(row), "tags": json.loads(row["tags"])}
            shown["details"] = None if row["details"] is None else json.loads(row["details"])
            assert {name: str(value) for name, value in shown.items()} == {
                name: str(value) for name, value in expected.items()
            }
    assert len(rows) == len(DETAILS)
    assert rows.seq == len(DETAILS)
    assert not rows.is_truncated


@pytest.mark.parametrize("value", DETAILS, ids=repr)
def test_details_are_the_json_of_every_other_face(value: object) -> None:
    """The short cut for plain values writes what the long way would."""
    connection = sqlite3.connect(":memory:")
    add_functions(connection)
    raw = entry.encode_value(value, "details")

    (text,) = connection.execute("SELECT hourbook_details(1, ?)", (raw,)).fetchone()
    connection.close()

    assert json.loads(text) == json_value(entry.decode_value(raw, "details"))


def test_json_functions_work_on_details_and_tags(home: Home) -> None:
    """json_extract, ->> and json_each read what was logged."""
    write_details(home)

    versions = run_query(home, "SELECT details->>'version' v FROM entries WHERE v IS NOT NULL")
    port = run_query(home, "SELECT json_extract(details, '$.port') FROM entries WHERE seq = 2")
    tagged = run_query(
        home, "SELECT seq FROM entries, json_each(tags) WHERE value = ?", ('a "tag"',)
    )

    assert tuples(versions) == [("1.2",)]
    assert tuples(port) == [(8080,)]
    assert [row["seq"] for row in tagged] == [3, 6]


def test_commits_carry_their_times_and_ids(home: Home) -> None:
    """The id of each is what the next names, computed for the last; times are of its entries."""
    write_book(home, [2, 1, 3])

    rows = run_query(home, "SELECT * FROM commits ORDER BY last_seq")

    assert [(row["first_seq"], row["last_seq"]) for row in rows] == [(1, 2), (3, 3), (4, 6)]
    assert [row["prev_commit"] for row in rows][1:] == [row["id"] for row in rows][:-1]
    assert {row["time_ns"] for row in rows} == {STAMP.time_ns}
    assert rows[0]["time"] == "2027-01-15T08:00:00.000000000Z"
    with BookReader(home) as reader:
        head = reader.head()
    assert head is not None
    assert rows[2]["id"] == entry.commit_id(entry.commit_header(head), head.signature).hex()


def test_instances_are_the_last_registrations(home: Home) -> None:
    """Held and released names, as of now and as of the time when the second still was held."""
    writer = open_writer(home)
    holder = Holder(bytes(16), 4711, 1)
    boxed = Holder(bytes(16), 4711, 1, 4026532221)
    for counter, name, by in ((1, "one", boxed), (2, "two", holder)):
        nonce = entry.make_nonce(7, counter << 20)
        writer.write([Register(writer=name, nonce=nonce, holder=by)], STAMP)
    held_seq = writer.head.seq
    nonce = entry.make_nonce(7, 5 << 20)
    writer.write([Release(writer="two", nonce=nonce, name="two", holder=holder)], STAMP)
    writer.close()
    sql = (
        "SELECT name, is_held, pid, pid_ns, registered_seq, released_seq, reason, seen_ns"
        " FROM instances"
    )

    now = run_query(home, f"{sql} ORDER BY name")
    before = run_query(home, f"{sql} ORDER BY name", at_seq=held_seq)

    assert tuples(now) == [
        ("one", 1, 4711, 4026532221, 1, None, None, STAMP.time_ns),
        ("two", 0, 4711, None, 2, 3, "closed", now[1]["seen_ns"]),
    ]
    assert tuples(before) == [
        ("one", 1, 4711, 4026532221, 1, None, None, None),
        ("two", 1, 4711, None, 2, None, None, None),
    ]


def test_every_view_ends_at_the_seq_asked_for(home: Home) -> None:
    """As of a seq, entries and commits beyond it are not there, by any way of asking."""
    write_book(home, [2, 2, 2])

    last = run_query(home, "SELECT max(seq), count(*) FROM entries", at_seq=4)
    commits = run_query(home, "SELECT max(last_seq), count(*) FROM commits", at_seq=4)
    direct = run_query(home, "SELECT * FROM entries WHERE seq = 5", at_seq=4)

    assert tuples(last) == [(4, 4)]
    assert tuples(commits) == [(4, 2)]
    assert (len(direct), direct.seq) == (0, 4)


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("SELECT * FROM entry", "the table entry"),
        ("SELECT count(*) FROM entry", "the table entry"),
        ("SELECT count(*) FROM main.ENTRY", "the table ENTRY"),
        ("SELECT (SELECT salt FROM entry LIMIT 1) FROM entries", "the table entry"),
        ("WITH entries AS (SELECT * FROM entry) SELECT * FROM entries", "the table entry"),
        ("SELECT * FROM (SELECT salt FROM entry) AS entries", "the table entry"),
        ("SELECT * FROM entries JOIN instance ON 1", "the table instance"),
        ("SELECT * FROM sqlite_schema", "the table sqlite_master"),
        ("SELECT * FROM sqlite_temp_schema", "the table sqlite_temp_master"),
        ("SELECT * FROM pragma_database_list", "a table that SQLite makes up"),
        ("SELECT * FROM pragma_table_info('entry')", "a table that SQLite makes up"),
        ("SELECT * FROM dbstat", ""),
        ("SELECT hourbook_details(1, x'c0')", "the function hourbook_details"),
        ("SELECT load_extension('x')", "the function load_extension"),
        ("ATTACH '/tmp/x' AS x", "ATTACH"),
        ("DETACH main", "DETACH"),
        ("PRAGMA query_only=OFF", "PRAGMA"),
        ("PRAGMA user_version", "PRAGMA"),
        ("INSERT INTO entries VALUES (1)", "INSERT"),
        ("INSERT INTO entry (seq) VALUES (1)", "INSERT"),
        ("UPDATE entry SET action = 'x'", "UPDATE"),
        ("DELETE FROM entry", "DELETE"),
        ("DROP VIEW entries", ""),
        ("CREATE TEMP TABLE x (a)", ""),
        ("CREATE TEMP VIEW entries2 AS SELECT 1", ""),
        ("BEGIN", "TRANSACTION"),
        ("COMMIT", "TRANSACTION"),
        ("SAVEPOINT x", "SAVEPOINT"),
        ("REINDEX", ""),
        ("ANALYZE", ""),
        ("VACUUM", ""),
        ("VACUUM INTO '/tmp/stolen.db'", ""),
    ],
)
def test_all_but_reading_the_views_is_refused(three: Home, sql: str, wanted: str) -> None:
    """One line says what is allowed and what it wanted; the book is as it was."""
    before = three.book_db.read_bytes()

    with pytest.raises(errors.BadRequest) as caught:
        run_query(three, sql)

    assert "\n" not in str(caught.value)
    assert wanted in str(caught.value)
    assert three.book_db.read_bytes() == before
    assert not Path("/tmp/stolen.db").exists()  # noqa: S108 - what the query names


@pytest.mark.parametrize(
    ("sql", "parameters", "words"),
    [
        ("", (), "nothing to run"),
        ("-- only a remark", (), "nothing to run"),
        ("SELEKT 1", (), "syntax error"),
        ("SELECT nought FROM entries", (), "no such column: nought"),
        ("SELECT * FROM nowhere", (), "no such table: nowhere"),
        ("SELECT 1; SELECT 2", (), "one statement"),
        ("SELECT 1; DROP TABLE entry", (), "one statement"),
        ("SELECT '\0'", (), "NUL"),
        ("SELECT '\ud800'", (), "surrogates"),
        ("SELECT ?", (), "bindings"),
        ("SELECT ?", ("a", "b"), "bindings"),
        ("SELECT :a", {"b": 1}, ":a"),
        ("SELECT ?", (1 << 64,), "too large"),
        ("SELECT ?", ("\ud800",), "surrogates"),
        ("SELECT ?", ({},), "type"),
        ("SELECT json_extract('{', '$')", (), "malformed JSON"),
        ("SELECT " + "(" * 300 + "1" + ")" * 300, (), ""),
    ],
)
def test_sql_that_is_none_is_refused_in_one_line(
    three: Home, sql: str, parameters: Any, words: str
) -> None:
    """SQLite's own words, after ours; never a traceback of another kind."""
    with pytest.raises(errors.BadRequest) as caught:
        run_query(three, sql, parameters)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_common_table_expressions_and_counting_are_no_tables(three: Home) -> None:
    """Names that a query gives itself are its own, and no column need be read."""
    counting = (
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 5)"
        " SELECT count(*) FROM c"
    )

    own = run_query(three, counting)
    both = run_query(three, "WITH e AS (SELECT * FROM entries) SELECT count(*) FROM e, Entries")

    assert tuples(own) == [(5,)]
    assert tuples(both) == [(9,)]


def test_rows_are_cut_at_the_limit_and_it_is_said(three: Home) -> None:
    """The first rows come, `is_truncated` tells of more; exactly as many is not truncated."""
    cut = run_query(three, "SELECT seq FROM entries", limit=2)
    whole = run_query(three, "SELECT seq FROM entries", limit=3)
    none = run_query(three, "SELECT seq FROM entries", limit=0)

    assert ([row[0] for row in cut], cut.is_truncated) == ([1, 2], True)
    assert (len(whole), whole.is_truncated) == (3, False)
    assert (len(none), none.is_truncated, none.columns) == (0, True, ("seq",))


def test_values_and_results_that_are_too_large_are_refused(
    three: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A huge value, and many that together are huge, end in LimitExceeded."""
    monkeypatch.setattr(query_module, "RESULT_BYTES_MAX", 1 << 20)

    with pytest.raises(errors.LimitExceeded, match="too big"):
        run_query(three, "SELECT zeroblob(30000000)")
    with pytest.raises(errors.LimitExceeded, match="up to 1 MiB"):
        run_query(three, "SELECT zeroblob(400000) FROM entries")


@pytest.mark.parametrize(
    ("limit", "timeout_s"), [(-1, 1.0), (1_000_001, 1.0), (1, 0.0), (1, 61.0), (1, float("nan"))]
)
def test_limits_have_limits(three: Home, limit: int, timeout_s: float) -> None:
    """Rows in 0..10^6, seconds above 0 and up to 60."""
    with pytest.raises(errors.BadRequest, match="Expected `"):
        run_query(three, "SELECT 1", limit=limit, timeout_s=timeout_s)


def test_endless_query_ends_in_time_and_writers_go_on(home: Home) -> None:
    """A query without end is interrupted; what is written meanwhile is, and it did not see it."""
    write_book(home, [1])
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            run_query(home, endless, timeout_s=0.4)
        except errors.QueryTimeout as error:
            failures.append(error)

    writer = open_writer(home)
    began_s = time.monotonic()
    thread = threading.Thread(target=ask)
    thread.start()
    writer.commit([append(2)], STAMP)
    writer.close()
    thread.join()

    assert time.monotonic() - began_s < 5
    assert "within 0.4 s" in str(failures[0])
    assert tuples(run_query(home, "SELECT count(*) FROM entries")) == [(2,)]


def test_types_are_those_of_sqlite(three: Home) -> None:
    """Integers, floats, text, bytes and None arrive as such; text that is no UTF-8 is mended."""
    row = run_query(three, "SELECT ?, ?, ?, ?, ?", (1 << 62, 0.5, "ä\0b", b"\xff", None))[0]
    mended = run_query(three, "SELECT CAST(x'ff' AS TEXT)")[0][0]

    assert tuple(row) == (1 << 62, 0.5, "ä\0b", b"\xff", None)
    assert mended == "\ufffd"


@pytest.mark.parametrize(
    ("sql", "plan"),
    [
        ("SELECT * FROM entries WHERE seq = 5", "SEARCH e USING INTEGER PRIMARY KEY"),
        ("SELECT * FROM entries WHERE seq > 5 LIMIT 1", "SEARCH e USING INTEGER PRIMARY KEY"),
        ("SELECT max(seq) FROM entries", "SEARCH e"),
        ("SELECT * FROM entries WHERE writer = 'a'", "SEARCH e USING INDEX entry_nonce"),
        (
            "SELECT * FROM entries WHERE session = 's' AND session <> ''",
            "SEARCH e USING INDEX entry_session",
        ),
        ("SELECT time FROM commits WHERE last_seq = 5", "SEARCH c USING INTEGER PRIMARY KEY"),
        ("SELECT * FROM instances", "main.entry USING INDEX entry_instance"),
    ],
)
def test_keys_are_used_through_the_views(three: Home, sql: str, plan: str) -> None:
    """Where a key exists, nothing is scanned, also as of a seq."""
    for at_seq in (None, 2):
        rows = run_query(three, f"EXPLAIN QUERY PLAN {sql}", at_seq=at_seq)

        details = [row["detail"] for row in rows]
        assert any(plan in detail for detail in details), details
        assert "SCAN e" not in details


def test_book_of_an_older_version_says_what_to_do(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views stand on the present tables; the tree brings an older book up to date."""
    with monkeypatch.context() as old:
        old.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        old.setattr(schema, "SCHEMA_VERSION", 1)
        schema.prepare(connection := schema.connect_writer(home.book_db), home.book_db)
        connection.close()

    with pytest.raises(errors.UnsupportedVersion, match="supervisor start"):
        run_query(home, "SELECT 1")


def test_docs_list_every_column() -> None:
    """docs/SQL.md has a section for each view, and its table is the view's."""
    text = (ROOT / "docs" / "SQL.md").read_text("utf-8")

    for view in VIEWS:
        section = text.split(f"\n## {view.name}\n")[1].split("\n## ")[0]
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        assert rows == [f"| `{c.name}` | {c.type} | {c.meaning} |" for c in view.columns]


def test_declared_types_are_what_comes(home: Home) -> None:
    """Every column holds values of the type that `hourbook schema` says, or NULL."""
    write_details(home)
    types = {"INTEGER": int, "TEXT": str}

    for view in VIEWS:
        for row in run_query(home, f"SELECT * FROM {view.name}"):  # noqa: S608 - constants
            for column, value in zip(view.columns, row, strict=True):
                assert value is None or type(value) is types[column.type], column.name
